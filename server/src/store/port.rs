//! The file store behind the engine's port.

use comfyd_engine::{
    Append as PortAppend, AppendError as PortAppendError, Durability, EventStore, PortFuture, ReadError as PortReadError, Seq,
    Stored, StreamId,
};

use super::file_store::FileStore;
use super::types::{Append, AppendError, Class, Sync};

impl EventStore for FileStore {
    fn append_all(&mut self, batch: Vec<PortAppend>, durability: Durability) -> PortFuture<'_, Result<(), PortAppendError>> {
        let sync = match durability {
            Durability::Synced => Sync::Now,
            Durability::Written => Sync::Lazy,
        };
        let one = |append: PortAppend| Append {
            stream: append.stream,
            expected: append.expected,
            payloads: append.payloads,
            class: Class::Ordinary,
        };
        let batch = batch.into_iter().map(one).collect();
        Box::pin(async move { Self::append_all(self, batch, sync).await.map_err(port_error) })
    }

    fn read<'a>(&'a mut self, stream: &'a StreamId, after: Seq) -> PortFuture<'a, Result<Vec<Stored>, PortReadError>> {
        Box::pin(async move {
            let read = Self::read(self, stream, after).await;
            let failed = |why: String| PortReadError { stream: stream.clone(), why };
            match read {
                Ok(read) => match read.damaged {
                    None => Ok(read.records),
                    Some(damage) => Err(failed(damage.why)),
                },
                Err(error) => Err(failed(error.to_string())),
            }
        })
    }

    fn streams(&mut self) -> PortFuture<'_, Vec<StreamId>> {
        Box::pin(async move { self.known_streams().await })
    }
}

fn port_error(error: AppendError) -> PortAppendError {
    match error {
        AppendError::Conflict { stream, expected, actual } => PortAppendError::Conflict { stream, expected, actual },
        AppendError::ReadOnly { why } => PortAppendError::ReadOnly { why },
        other @ (AppendError::Quarantined { .. }
        | AppendError::PayloadSize { .. }
        | AppendError::LogFull { .. }
        | AppendError::DiskFull(_)
        | AppendError::NotWritten(_)
        | AppendError::Stopped) => PortAppendError::Failed { why: other.to_string() },
    }
}
