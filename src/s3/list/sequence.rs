//! Whether the pages of a listing follow one another as they should. Pure.
//!
//! Servers have been seen to begin again in the middle of a listing, or to give the same page for ever. S3 lists keys in
//! the order of their bytes, so that a key which is not past the one before it shows that. Directory buckets have no order.

use super::page::{Page, PageFault};
use crate::printable::number;

/// The most pages in a row without a key. S3 passes over deleted versions for up to two minutes before it answers with such a
/// page, so that a server with that many has no end.
const MAX_EMPTY: u64 = 10_000;

/// What is known from the pages so far.
#[derive(Debug)]
pub(crate) struct Sequence {
    order: Order,
    last_key: Option<String>,
    /// A token of an earlier page. It is replaced after 1, 2, 4, … pages, so that tokens that repeat are found in the end,
    /// however many there are (R. P. Brent, 1980).
    remembered: Option<String>,
    n_pages: u64,
    /// Pages without a key since the last one that had some.
    n_empty: u64,
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
            n_empty: 0,
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
        if let (false, Some(folded)) = (self.order.is_free, &page.folded) {
            return Err(format!(
                "it keeps back the keys below `{}` (`CommonPrefixes`), though no `delimiter` was sent",
                folded.escape_debug()
            )
            .into());
        }
        let n_empty = if page.rows.is_empty() {
            self.n_empty + 1
        } else {
            0
        };
        if n_empty > MAX_EMPTY {
            let most = number(MAX_EMPTY);
            return Err(format!("{most} pages before it had no key either").into());
        }
        if page.next.is_some() && page.next == self.remembered {
            return Err("it leads back to an earlier page (`NextContinuationToken`)".into());
        }
        let last = last.map(str::to_owned);
        self.n_empty = n_empty;
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
            folded: None,
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
    }

    #[test]
    fn many_pages_without_a_key_are_taken_and_endless_ones_are_not() {
        let mut sequence = Sequence::new(true);
        let mut accept = |n: u64, keys: &[&str]| sequence.accept(&page(keys, Some(&n.to_string())));
        for n in 0..MAX_EMPTY {
            assert_eq!(accept(n, &[]), Ok(()));
        }
        // Keys begin the count anew.
        assert_eq!(accept(MAX_EMPTY, &["a"]), Ok(()));
        for n in 1..=MAX_EMPTY {
            assert_eq!(accept(MAX_EMPTY + n, &[]), Ok(()));
        }
        let fault = accept(3 * MAX_EMPTY, &[]).unwrap_err().to_string();
        assert!(fault.contains("10,000 pages"), "{fault}");
        assert_eq!(accept(3 * MAX_EMPTY, &["b"]), Ok(()));
    }

    #[test]
    fn a_page_that_keeps_keys_back_is_refused_where_keys_are_in_order() {
        let folded = Page {
            folded: Some("p/".to_owned()),
            ..page(&["a"], None)
        };
        let fault = Sequence::new(true).accept(&folded).unwrap_err();
        assert!(fault.to_string().contains("below `p/`"), "{fault}");
        // Directory buckets tell so of uploads that are not finished.
        assert_eq!(Sequence::new(false).accept(&folded), Ok(()));
    }
}
