//! Answers as JSON.

use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::request_id;
use crate::problem::Problem;

/// An answer, or what is wrong.
pub(super) type Answer = Result<Response, Problem>;

/// A good answer: the fields of an object, after `success`.
pub(super) fn success<T: Serialize>(status: StatusCode, fields: &T) -> Answer {
    Ok(json(status, with_success("true", fields)?))
}

/// A good answer of status 200.
pub(super) fn ok<T: Serialize>(fields: &T) -> Answer {
    success(StatusCode::OK, fields)
}

/// An answer of raw JSON.
pub(super) fn json(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The text of an object with `success` put first: the views are large, and this spares building them twice.
pub(super) fn with_success<T: Serialize>(value: &str, fields: &T) -> Result<Vec<u8>, Problem> {
    let fields =
        serde_json::to_vec(fields).map_err(|error| Problem::internal(format!("an answer could not be written: {error}")))?;
    let rest = match fields.strip_prefix(b"{") {
        Some(b"}") => b"}".to_vec(),
        Some(rest) => [b",", rest].concat(),
        None => return Err(Problem::internal("an answer is not an object")),
    };
    Ok([b"{\"success\":", value.as_bytes(), &rest].concat())
}

/// The part of an address after `?`.
pub(super) fn query_of<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let Query(query) =
        query.map_err(|error| Problem::invalid("bad_query", error.body_text(), "Correct the part of the address after `?`."))?;
    Ok(query)
}

/// A query parameter that is a number, not below `least`.
pub(super) fn number(name: &str, value: Option<&str>, least: u64) -> Result<Option<u64>, Problem> {
    let Some(text) = value else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number >= least && text.bytes().all(|byte| byte.is_ascii_digit()));
    number.map(Some).ok_or_else(|| {
        let text: String = text.chars().take(60).collect();
        let message = format!("`{name}` cannot be `{text}`");
        Problem::invalid("bad_query", message, format!("Give a whole number from {least}, or leave `{name}` out."))
    })
}

/// A query parameter that is `1` or `0`.
pub(super) fn flag(name: &str, value: Option<&str>) -> Result<bool, Problem> {
    match value {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => {
            let other: String = other.chars().take(60).collect();
            let message = format!("`{name}` cannot be `{other}`");
            Err(Problem::invalid("bad_query", message, format!("Give `{name}=1`, or leave it out.")))
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let told = Self { request_id: request_id::current().map(String::into_boxed_str), ..self };
        // A problem is a few texts: it is an object and can be written.
        let text = with_success("false", &told).unwrap_or_else(|_| b"{\"success\":false}".to_vec());
        let mut response = json(status, text);
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::with_success;

    #[test]
    fn success_stands_first() {
        let written =
            |value: serde_json::Value| String::from_utf8(with_success("true", &value).expect("an object")).expect("text");
        assert_eq!(written(serde_json::json!({})), r#"{"success":true}"#);
        assert_eq!(written(serde_json::json!({"a": {"b": 1}})), r#"{"success":true,"a":{"b":1}}"#);
        assert!(with_success("true", &[1]).is_err());
    }
}
