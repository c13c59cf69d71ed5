//! The comments of the contracts, which are its reference manual and the commands' help.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{FieldDescriptor, MethodDescriptor};

/// By the file's name and the path of what is documented in it.
static COMMENTS: LazyLock<HashMap<(String, Vec<i32>), String>> = LazyLock::new(|| {
    let files = super::POOL.iter().flat_map(|pool| pool.file_descriptor_protos());
    files
        .filter(|file| file.package().starts_with(super::PACKAGE))
        .flat_map(|file| {
            let locations = file.source_code_info.iter().flat_map(|info| &info.location);
            locations.filter_map(|at| Some(((file.name().to_owned(), at.path.clone()), at.leading_comments.clone()?)))
        })
        .collect()
});

/// What a contract says about one of its parts.
pub struct Documentation(String);

/// Of a method or a field; empty where the contract says nothing.
pub fn documentation(part: &impl Documented) -> Documentation {
    Documentation(COMMENTS.get(&part.place()).map(|comment| clean(comment)).unwrap_or_default())
}

pub trait Documented {
    fn place(&self) -> (String, Vec<i32>);
}

impl Documented for MethodDescriptor {
    fn place(&self) -> (String, Vec<i32>) {
        (self.parent_service().parent_file().name().to_owned(), self.path().to_vec())
    }
}

impl Documented for FieldDescriptor {
    fn place(&self) -> (String, Vec<i32>) {
        (self.parent_message().parent_file().name().to_owned(), self.path().to_vec())
    }
}

impl Documentation {
    pub fn whole(&self) -> &str {
        &self.0
    }

    /// The first sentence, without its full stop.
    pub fn short(&self) -> &str {
        let paragraph = self.0.split("\n\n").next().unwrap_or_default();
        // `sa_..` and `eyJ..` end no sentence.
        let mut ends = paragraph.match_indices(['.', ':']).map(|(at, _)| at);
        let end = ends.find(|at| paragraph[at + 1..].starts_with(' ') && !paragraph[..*at].ends_with('.'));
        paragraph[..end.unwrap_or(paragraph.len())].trim_end_matches('.')
    }

    /// The server sets it and ignores what a caller says.
    pub fn is_output_only(&self) -> bool {
        self.0.starts_with("Output only")
    }
}

/// Paragraphs, each of them one line.
fn clean(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|p| p.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    paragraphs.map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_becomes_paragraphs_and_its_first_sentence() {
        let of = |comment: &str| Documentation(clean(comment));
        let documentation = of(" Removes it. Output only. `sa_..`\n or so.\n\n Errors: none.\n");
        assert_eq!(documentation.short(), "Removes it");
        assert_eq!(documentation.whole(), "Removes it. Output only. `sa_..` or so.\n\nErrors: none.");
        assert_eq!(of(" Its `sa_..` id. Then.").short(), "Its `sa_..` id");
        assert_eq!(of("").short(), "");
    }

    #[test]
    fn every_public_method_is_documented() {
        for name in crate::contract::methods() {
            let method = crate::contract::method(&name).unwrap();
            assert!(!documentation(&method).short().is_empty(), "{name}");
        }
    }
}
