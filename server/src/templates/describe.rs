//! Titles and first lines out of Markdown.

/// The longest title and summary, in characters.
const MAX_TITLE: usize = 120;
const MAX_SUMMARY: usize = 300;

/// The first heading.
pub(super) fn title_of(markdown: &str) -> Option<String> {
    let heading = markdown.lines().find_map(|line| line.strip_prefix("# "))?.trim();
    (!heading.is_empty()).then(|| short(heading, MAX_TITLE))
}

/// The first paragraph that is no heading.
pub(super) fn summary_of(markdown: &str) -> Option<String> {
    let mut lines = markdown.lines().map(str::trim).skip_while(|line| line.is_empty() || line.starts_with('#'));
    let paragraph: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let text = paragraph.join(" ");
    (!text.is_empty()).then(|| short(&text, MAX_SUMMARY))
}

/// A name as words: `img2video_long` is "Img2video long".
pub(super) fn humanised(name: &str) -> String {
    let words = name.replace(['_', '-'], " ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = words.chars();
    match rest.next() {
        Some(first) => short(&first.to_uppercase().chain(rest).collect::<String>(), MAX_TITLE),
        None => short(name, MAX_TITLE),
    }
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_begins_with_its_title_and_says_what_it_is() {
        let text = "\n# Image to video\r\n\r\nBrings a still\r\npicture to life.\r\n\r\n## Needs\n\nA lot.\n";
        assert_eq!(title_of(text).as_deref(), Some("Image to video"));
        assert_eq!(summary_of(text).as_deref(), Some("Brings a still picture to life."));
        assert_eq!((title_of("## Needs\n#\n# "), summary_of("# Only a title")), (None, None));
        assert_eq!(summary_of("plain\n# heading").as_deref(), Some("plain"));
        assert_eq!(summary_of(&"ä ".repeat(1000)).expect("text").chars().count(), MAX_SUMMARY);
    }

    #[test]
    fn names_become_words() {
        assert_eq!(humanised("txt2img_basic"), "Txt2img basic");
        assert_eq!(humanised("a--b__c"), "A b c");
        assert_eq!(humanised("_"), "_");
    }
}
