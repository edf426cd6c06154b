//! The members of an object that are used.

use crate::source::list::names::{Column, MAX_NAME, column_named};

/// What a member is used for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Member {
    /// With how good its name is: 0 is the best.
    KeyOrUri(usize),
    Column(Column),
}

/// Finds members by their names, and remembers them: most objects of a list have the same ones.
pub(super) struct Members<'a> {
    pub key_column: Option<&'a str>,
    known: Vec<(Box<str>, Option<Member>)>,
}

impl<'a> Members<'a> {
    pub(super) fn new(key_column: Option<&'a str>) -> Self {
        Self {
            key_column,
            known: Vec::new(),
        }
    }
}

impl Members<'_> {
    /// Most names that are remembered.
    const MOST: usize = 32;

    pub(super) fn find(&mut self, name: &str) -> Option<Member> {
        let known = self.known.iter().find(|(known, _)| **known == *name);
        if let Some((_, member)) = known {
            return *member;
        }
        let member = self.look_up(name);
        if self.known.len() < Self::MOST && name.len() <= MAX_NAME {
            self.known.push((name.into(), member));
        }
        member
    }

    fn look_up(&self, name: &str) -> Option<Member> {
        if let Some(key_column) = self.key_column {
            if name == key_column {
                return Some(Member::KeyOrUri(0));
            }
            let (column, _) = column_named(name)?;
            return (column != Column::Key).then_some(Member::Column(column));
        }
        // Only S3's own name is never a URI.
        match column_named(name)? {
            (Column::Key, rank) if name != "Key" => Some(Member::KeyOrUri(rank)),
            (column, _) => Some(Member::Column(column)),
        }
    }
}
