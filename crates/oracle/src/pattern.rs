// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Patterns in the data files: `*` stands for any letters.

/// Whether a text fits a pattern.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some((_, last)) = pattern.rsplit_once('*') else {
        return rest.is_empty();
    };
    let middle = pattern.matches('*').count() - 1;
    for part in parts.take(middle) {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("6.18.*", "6.18.44-fc", true),
            ("6.18.*", "6.1.8", false),
            ("*loop*", "a_loop_b", true),
            ("*loop*end", "a_loop_b_end", true),
            ("*loop*end", "a_loop_b", false),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
