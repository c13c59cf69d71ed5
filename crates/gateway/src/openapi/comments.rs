//! What the contracts say about their parts.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// By the file's name and the path of what is told of in it.
#[derive(Debug)]
pub struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub fn of_the_contracts() -> Self {
        let set = FileDescriptorSet::decode(api::DOCUMENTED_FILE_DESCRIPTOR_SET).unwrap_or_default();
        let ours = set.file.into_iter().filter(|file| file.package().starts_with("guildhall."));
        let told = ours.flat_map(|file| {
            let name = file.name().to_owned();
            let locations = file.source_code_info.into_iter().flat_map(|info| info.location);
            locations.filter_map(move |at| Some(((name.clone(), at.path), clean(&at.leading_comments?))))
        });
        Self(told.collect())
    }

    /// Empty where the contract says nothing.
    pub fn of(&self, file: &str, path: &[i32]) -> &str {
        self.0.get(&(file.to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// Without the space that follows the slashes.
fn clean(comment: &str) -> String {
    let lines = comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The first sentence, on one line and without its full stop.
pub fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    // `sa_..` ends no sentence.
    let mut ends = paragraph.match_indices(". ").map(|(at, _)| at);
    let end = ends.find(|at| !paragraph[..*at].ends_with('.')).unwrap_or(paragraph.len());
    paragraph[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_the_summary() {
        assert_eq!(first_sentence("Makes `sa_.. ` of\nit. And more.\n\nErrors."), "Makes `sa_.. ` of it");
        assert_eq!(first_sentence("All."), "All");
        assert_eq!(first_sentence(""), "");
    }
}
