//! What may be typed to list runs.

use clap::Args;

use super::Door;

/// `comfyd runs`
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Only with this status: queued, executing, completed, failed or cancelled; repeatable, or with commas between
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<String>,
    /// Only on this instance
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Only with this workflow name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only where the name, the id, the instance or the error holds this text
    #[arg(long, short = 'q', value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only created after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) after: Option<String>,
    /// Only created before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// As many as there are
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Print one JSON object per run
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

impl Runs {
    /// The filters as a query, without a limit.
    pub(crate) fn query(&self) -> String {
        let status = self.status.join(",");
        let status = Some(&status).filter(|status| !status.is_empty());
        let fields = [
            ("status", status),
            ("instance", self.instance.as_ref()),
            ("name", self.name.as_ref()),
            ("text", self.text.as_ref()),
            ("after", self.after.as_ref()),
            ("before", self.before.as_ref()),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value?))));
        given.collect()
    }
}

/// Everything but unreserved characters by its bytes (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn values_do_not_end_a_query() {
        assert_eq!(encoded("a b&c=ü%"), "a%20b%26c%3D%C3%BC%25");
    }
}
