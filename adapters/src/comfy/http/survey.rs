//! Questions about the server itself, asked when a person wants to know: each answer is short or has its own limit.

use std::time::Duration;

use bytes::Bytes;

use super::{Client, HttpError, percent};
use crate::comfy::parse::MAX_MESSAGE;
use crate::comfy::stats::SystemStats;

/// How long an answer may take: somebody waits for it.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the whole of `object_info` may take: some servers make it anew from thousands of classes.
const CLASSES_LIMIT: Duration = Duration::from_mins(1);
/// The longest answer about the server itself.
const MAX_ABOUT: usize = 1 << 20;

impl Client {
    /// What the server tells of itself.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn stats(&self) -> Result<SystemStats, HttpError> {
        let what = "GET /system_stats";
        let reply = self.get_within(what, "/system_stats", MAX_ABOUT, LIMIT).await?.ok(what)?;
        SystemStats::parse(&reply.text()).ok_or_else(|| HttpError::shape(what, &"it tells of no system"))
    }

    /// Whether `POST /api/jobs/{id}/cancel` is there; none if that cannot be told. Asked with GET, which stops nothing.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn has_cancel(&self) -> Result<Option<bool>, HttpError> {
        let what = "GET /api/jobs/{id}/cancel";
        let path = "/api/jobs/00000000-0000-0000-0000-000000000000/cancel";
        let reply = self.get_within(what, path, MAX_ABOUT, LIMIT).await?;
        Ok(match reply.status {
            // The path is there for another method.
            405 => Some(true),
            404 => Some(false),
            _ => None, // A proxy, a login page: nothing is learned.
        })
    }

    /// All classes with their inputs, or one, as the server writes them; none if it does not know the class.
    ///
    /// # Errors
    /// If there is no usable answer.
    pub async fn classes(&self, class: Option<&str>) -> Result<Bytes, HttpError> {
        let (what, path) = match class {
            None => ("GET /object_info", "/object_info".to_owned()),
            Some(class) => ("GET /object_info/{class}", format!("/object_info/{}", percent(class))),
        };
        let reply = self.get_within(what, &path, MAX_MESSAGE, CLASSES_LIMIT).await?.ok(what)?;
        Ok(reply.body)
    }
}
