//! Whether the pages of a listing follow one another as they should. Pure.
//!
//! Servers have been seen to begin again in the middle of a listing, or to give the same page for ever. S3 lists keys in
//! the order of their bytes, so that a key which is not past the one before it shows that. Directory buckets have no order.

use super::page::{Page, PageFault};

/// What is known from the pages so far.
#[derive(Debug)]
pub(crate) struct Sequence {
    order: Order,
    last_key: Option<String>,
    /// A token of an earlier page. It is replaced after 1, 2, 4, … pages, so that tokens that repeat are found in the end,
    /// however many there are (R. P. Brent, 1980).
    remembered: Option<String>,
    n_pages: u64,
}

/// The orders that all keys so far are in.
#[derive(Debug, Clone, Copy)]
struct Order {
    /// None is expected.
    is_free: bool,
    is_of_bytes: bool,
    /// The order of servers that compare strings as Java does. It differs for characters past U+FFFF.
    is_of_utf16: bool,
}

impl Sequence {
    pub(crate) fn new(is_ordered: bool) -> Self {
        Self {
            order: Order {
                is_free: !is_ordered,
                is_of_bytes: true,
                is_of_utf16: true,
            },
            last_key: None,
            remembered: None,
            n_pages: 0,
        }
    }

    /// Takes the next page in. Nothing changes if it cannot be the next one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn accept(&mut self, page: &Page) -> Result<(), PageFault> {
        let (mut last, mut order) = (self.last_key.as_deref(), self.order);
        for row in &page.rows {
            let Ok(entry) = row else { continue };
            if let Some(last) = last
                && !order.allows(last, &entry.key)
            {
                return Err(format!(
                    "its keys are not in order: `{}` comes after `{}`",
                    entry.key.escape_debug(),
                    last.escape_debug()
                )
                .into());
            }
            last = Some(&entry.key);
        }
        if page.next.is_some() && page.next == self.remembered {
            return Err("it leads back to an earlier page (`NextContinuationToken`)".into());
        }
        let last = last.map(str::to_owned);
        self.n_pages += 1;
        if self.n_pages.is_power_of_two() {
            self.remembered.clone_from(&page.next);
        }
        (self.last_key, self.order) = (last, order);
        Ok(())
    }
}

impl Order {
    /// Whether `key` may come right after `last`.
    fn allows(&mut self, last: &str, key: &str) -> bool {
        if self.is_free {
            return true;
        }
        let is_of_bytes = key > last;
        // The orders agree wherever one of the keys is ASCII, as nearly all are.
        let is_of_utf16 = if key.is_ascii() || last.is_ascii() {
            is_of_bytes
        } else {
            key.encode_utf16().gt(last.encode_utf16())
        };
        self.is_of_bytes &= is_of_bytes;
        self.is_of_utf16 &= is_of_utf16;
        self.is_of_bytes || self.is_of_utf16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Entry;

    fn page(keys: &[&str], next: Option<&str>) -> Page {
        let entry = |key: &&str| Entry {
            key: (*key).to_owned(),
            ..Entry::default()
        };
        Page {
            rows: keys.iter().map(entry).map(Ok).collect(),
            next: next.map(str::to_owned),
        }
    }

    #[test]
    fn keys_ascend_within_pages_and_from_page_to_page() {
        let accepted = |is_ordered, pages: &[&[&str]]| {
            let mut sequence = Sequence::new(is_ordered);
            let accept = |keys: &&[&str]| sequence.accept(&page(keys, None)).is_ok();
            pages.iter().map(accept).collect::<Vec<_>>()
        };
        assert_eq!(accepted(true, &[&["a", "b"], &[], &["c"]]), [true; 3]);
        assert_eq!(
            accepted(true, &[&["a", "c"], &["b"], &["d"]]),
            [true, false, true]
        );
        assert_eq!(accepted(true, &[&["b", "a"]]), [false]);
        assert_eq!(accepted(true, &[&["a"], &["a"]]), [true, false]);
        assert_eq!(accepted(false, &[&["b", "a"], &["a"]]), [true; 2]);
        // Bytes and UTF-16 differ for characters past U+FFFF.
        assert_eq!(accepted(true, &[&["\u{ff5e}", "\u{1f600}"]]), [true]);
        assert_eq!(accepted(true, &[&["\u{1f600}", "\u{ff5e}"]]), [true]);
        let both: &[&str] = &["\u{ff5e}", "\u{1f600}", "\u{ff5f}"];
        assert_eq!(accepted(true, &[both]), [false]);
    }

    #[test]
    fn pages_that_go_round_in_a_circle_are_found() {
        for n_tokens in [1, 2, 3, 10] {
            let mut sequence = Sequence::new(false);
            let found = (0..100_u32).find(|n| {
                let token = (n % n_tokens).to_string();
                sequence.accept(&page(&[], Some(&token))).is_err()
            });
            assert!(found.is_some_and(|n| n <= 3 * n_tokens + 3), "{found:?}");
        }
        let mut sequence = Sequence::new(true);
        for n in 0..1_000_u32 {
            let accepted = sequence.accept(&page(&[], Some(&n.to_string())));
            assert_eq!(accepted, Ok(()));
        }
    }
}
