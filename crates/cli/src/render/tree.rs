//! Lines below lines, as people draw them.

/// A line and what belongs below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub text: String,
    pub below: Vec<Tree>,
}

impl Tree {
    pub fn new(text: impl Into<String>, below: Vec<Self>) -> Self {
        Self { text: text.into(), below }
    }

    pub fn leaf(text: impl Into<String>) -> Self {
        Self::new(text, Vec::new())
    }

    /// What others wrote is in it: nothing of it steers a terminal.
    pub fn draw(&self) -> String {
        let mut drawn = super::table::plainly(&self.text) + "\n";
        self.draw_below("", &mut drawn);
        drawn
    }

    fn draw_below(&self, indent: &str, drawn: &mut String) {
        for (at, tree) in self.below.iter().enumerate() {
            let last = at + 1 == self.below.len();
            let (branch, next) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            *drawn += &format!("{indent}{branch}{}\n", super::table::plainly(&tree.text));
            tree.draw_below(&format!("{indent}{next}"), drawn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_hangs_from_what_is_above() {
        let tree = Tree::new(
            "a",
            vec![
                Tree::new("b", vec![Tree::leaf("c\u{1b}[2J"), Tree::leaf("d")]),
                Tree::new("e", vec![Tree::leaf("f")]),
            ],
        );
        assert_eq!(tree.draw(), "a\n├─ b\n│  ├─ c\\u{1b}[2J\n│  └─ d\n└─ e\n   └─ f\n");
    }
}
