//! Many at once, from a file. An import that was broken off is run again as it was: what is there already stays as it is.

mod identities;
mod members;
mod progress;
mod rows;

use std::path::PathBuf;

use clap::{Arg, Command, value_parser};

pub use identities::run as import_identities;
pub use members::run as import_members;

/// `member import`.
pub fn members() -> Command {
    command(
        "Adds the members of a file, in batches",
        "Adds the members of a file, in batches. A CSV file has a heading line that names fields of a member (`email_address`, \
         `display_name`, `external_id`, ..) and `roles`, several of them with semicolons between; a JSONL file has such an object \
         on each line, `roles` a list.\n\nThe whole file is read before anybody is added, and every faulty line named. An import \
         that was broken off is run again as it was: a batch that had been acknowledged is not added twice, and whoever is a \
         member already stays as they are and is counted as such.",
    )
}

/// `identity import`.
pub fn identities() -> Command {
    command(
        "Takes identities over from another system, with their password hashes",
        "Takes identities over from another system, with their password hashes. A CSV file has a heading line that names fields of \
         an identity (`email_address`, `display_name`, ..) and `password_hash`; a JSONL file has such an object on each line. Who \
         is there already stays as they are, so an import that was broken off is run again as it was.",
    )
}

fn command(about: &'static str, long: &'static str) -> Command {
    let file = Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf));
    let batch = Arg::new("batch-size").long("batch-size").value_name("ROWS").default_value("100");
    let batch = batch.value_parser(value_parser!(u16).range(1..=1000));
    Command::new("import")
        .about(about)
        .long_about(long)
        .args([file.help("What ends in .csv, or in .jsonl"), batch.help("How many rows go in one call")])
}
