//! Writes a data directory with a long past, for tests of the page: `cargo run -p comfyd-tests --example past -- 100000 DIR`.

use std::path::Path;
use std::sync::Arc;

use comfyd_server::store::{FileStore, Options, RealDisk};
use comfyd_tests::past;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runs, dir] = arguments.as_slice() else { return Err("usage: past RUNS DIR".into()) };
    let options = Options { min_free: 0, ..Options::default() };
    let (store, _found) = FileStore::open(Path::new(dir), Arc::new(RealDisk), options)?;
    past::write(&store, 0, runs.parse()?).await;
    Ok(store.shutdown().await?)
}
