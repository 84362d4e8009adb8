//! The fields of a step of a generic workflow.

use std::collections::BTreeMap;

use super::body::Fields;
use super::dto;
use crate::app::{Execute, Target};
use crate::problem::Problem;

/// The longest wait of a step: a week.
const MAX_WAIT_S: f64 = 604_800.0;

/// The wish of a step that runs a ComfyUI workflow.
pub(crate) fn wish(fields: &BTreeMap<String, String>) -> Result<Execute, Problem> {
    dto::execute(Fields::of_rest(fields)?)
}

/// Where a step wants to work; none if it does not say.
pub(crate) fn target(fields: &BTreeMap<String, String>) -> Result<Option<Target>, Problem> {
    dto::target(&mut Fields::of_rest(fields)?)
}

/// How long a step waits, in milliseconds.
pub(crate) fn wait_ms(fields: &BTreeMap<String, String>) -> Result<u64, Problem> {
    let seconds = Fields::of_rest(fields)?.take::<f64>("seconds")?.ok_or_else(|| {
        Problem::invalid("bad_field", "field `seconds` is missing", "Say how long the step waits, such as `\"seconds\": 10`.")
    })?;
    milliseconds("seconds", seconds, MAX_WAIT_S)
}

/// A number of seconds as milliseconds.
pub(super) fn milliseconds(field: &str, seconds: f64, max: f64) -> Result<u64, Problem> {
    if !(0.0..=max).contains(&seconds) {
        let message = format!("field `{field}` cannot be {seconds}");
        return Err(Problem::invalid("bad_field", message, format!("Give a number of seconds from 0 to {max}.")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in a small range from 0 on")]
    let ms = (seconds * 1000.0).round() as u64;
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::wait_ms;

    #[test]
    fn a_wait_is_a_number_of_seconds() {
        let ms = |seconds: &str| wait_ms(&[("seconds".to_owned(), seconds.to_owned())].into());
        assert_eq!((ms("0").ok(), ms("1.5").ok(), ms("604800").ok()), (Some(0), Some(1_500), Some(604_800_000)));
        for bad in ["-1", "604801", "\"1\"", "NaN"] {
            assert_eq!(ms(bad).expect_err(bad).code, "bad_field", "{bad}");
        }
        assert_eq!(wait_ms(&[].into()).expect_err("missing").code, "bad_field");
    }
}
