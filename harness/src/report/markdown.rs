//! Text from outside, made literal in Markdown.
//!
//! A report is read raw as often as rendered: in a terminal, in a diff. So a character is escaped
//! only where it would mean something, and `0.42 -> 2.5, error < 1 %` stays as it is.

use super::wording::printable;

/// `text` as literal Markdown; `code` in backticks stays code.
pub fn text(text: &str) -> String {
    let chars: Vec<char> = printable(text).chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied();
        let before = at.checked_sub(1).map(|i| chars[i]);
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '`' => {
                let span = chars[at + 1..].split(|&c| c == '`').next().unwrap_or(&[]);
                if at + 1 + span.len() < chars.len() && is_code(span) {
                    out.extend(&chars[at..at + span.len() + 2]);
                    at += span.len() + 1;
                } else {
                    out.push_str("\\`");
                }
            }
            // Tags, comments and autolinks begin so.
            '<' if word(next) || matches!(next, Some('/' | '!' | '?')) => out.push_str("&lt;"),
            // Entities begin so.
            '&' if word(next) || next == Some('#') => out.push_str("&amp;"),
            '\\' if next.is_none_or(|n| n.is_ascii_punctuation()) => out.push_str("\\\\"),
            // A link needs both brackets.
            ']' if matches!(next, Some('(' | '[' | ':')) => out.push_str("\\]"),
            // Within a word an underscore is a letter.
            '_' if !(word(before) && word(next)) => out.push_str("\\_"),
            '|' | '*' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        at += 1;
    }
    out
}

/// Whether this is a name in a code span: begun and ended by a letter or digit, so that what
/// stands between two spans is not taken for one, and with nothing in it that has a meaning.
fn is_code(span: &[char]) -> bool {
    let ends = [span.first(), span.last()];
    ends.into_iter()
        .all(|c| c.is_some_and(|c| c.is_alphanumeric()))
        && span
            .iter()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' '))
}

/// `text` on one line, as a table's cell or a list's item needs it.
pub fn line(words: &str) -> String {
    text(words).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_means_nothing_stays_as_it_is() {
        for plain in [
            "0.42 -> 2.5 token/s, error < 1 %, 6x (4-6x)",
            "39.3 [23.8, 53.4]",
            "gate_up, gain 2 & 3, #3",
            "since `original`; `tmac-avx512`",
        ] {
            assert_eq!(text(plain), plain);
        }
    }

    #[test]
    fn what_would_be_markup_is_literal() {
        for (from, to) in [
            ("<script>", "&lt;script>"),
            ("</b> <!-- <?x", "&lt;/b> &lt;!-- &lt;?x"),
            ("&lt; &#60;", "&amp;lt; &amp;#60;"),
            ("a|b", "a\\|b"),
            ("a\\|b \\", "a\\\\\\|b \\\\"),
            ("[x](y) [x][y] [x]: y", "[x\\](y) [x\\][y] [x\\]: y"),
            ("*a* _b_ ~c~", "\\*a\\* \\_b\\_ \\~c\\~"),
            ("`a` `b|c` `d", "`a` \\`b\\|c\\` \\`d"),
        ] {
            assert_eq!(text(from), to, "{from}");
        }
    }
}
