//! Reads the body of an S3 error leniently: servers differ in how they write it, and a proxy may have cut it off.

/// The most bytes of a code that are kept; S3's longest has 39.
const MAX_CODE: usize = 128;
/// The most bytes of a message that are kept.
const MAX_MESSAGE: usize = 1024;

/// The elements of an error that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ErrorBody {
    pub code: Option<String>,
    pub message: Option<String>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub server_time: Option<String>,
}

impl ErrorBody {
    /// `None` if it is not an S3 error but, for example, a web page.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = decoded(bytes);
        let root = Tags(&text).find(|tag| !tag.name.starts_with(['?', '!']))?;
        if !["Error", "ErrorResponse", "Response"].contains(&local(root.name)) {
            return None;
        }
        let element = |name| {
            let tag = Tags(&text).find(|tag| local(tag.name) == name)?;
            content(tag.rest).filter(|(text, _)| !text.is_empty())
        };
        let whole = |name| {
            element(name)
                .filter(|(_, is_whole)| *is_whole)
                .map(|(text, _)| text)
        };
        Some(Self {
            code: whole("Code").map(|code| cut(&code, MAX_CODE)),
            message: element("Message").map(|(text, _)| cut(&text, MAX_MESSAGE)),
            region: whole("Region"),
            endpoint: whole("Endpoint"),
            server_time: whole("ServerTime"),
        })
    }
}

/// Whether the bytes are an S3 error with a code.
pub(super) fn is_error(bytes: &[u8]) -> bool {
    ErrorBody::parse(bytes).is_some_and(|body| body.code.is_some())
}

/// The text, cut after at most `max` bytes with a mark that it was cut.
pub(super) fn cut(text: &str, max: usize) -> String {
    let mut cut = text.to_owned();
    if cut.len() > max {
        cut.truncate(cut.floor_char_boundary(max));
        cut.push('…');
    }
    cut
}

/// The text of UTF-8 or UTF-16, with or without a byte order mark; anything else is read as Latin-1.
fn decoded(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, _) = bytes.as_chunks::<2>();
        char::decode_utf16(units.iter().copied().map(unit))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [b'<', 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, b'<', ..] => utf16(bytes, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                // The text was cut off within a character.
                Err(error) if error.error_len().is_none() => {
                    String::from_utf8_lossy(bytes).into_owned()
                }
                Err(_) => bytes.iter().copied().map(char::from).collect(),
            }
        }
    }
}

/// A tag's name without its namespace prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Iterates over a document's opening tags.
struct Tags<'a>(&'a str);

struct Tag<'a> {
    name: &'a str,
    /// The document after the tag.
    rest: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let (_, rest) = self.0.split_once('<')?;
            if let Some(comment) = rest.strip_prefix("!--") {
                self.0 = comment.split_once("-->")?.1;
                continue;
            }
            if let Some(text) = rest.strip_prefix("![CDATA[") {
                self.0 = text.split_once("]]>")?.1;
                continue;
            }
            let (tag, rest) = rest.split_once('>')?;
            self.0 = rest;
            if tag.starts_with('/') || tag.ends_with('/') {
                continue;
            }
            let name = tag.split(|c: char| c.is_whitespace()).next()?;
            return Some(Tag { name, rest });
        }
    }
}

/// The text up to the element's end, and whether that end was found.
fn content(mut rest: &str) -> Option<(String, bool)> {
    let mut text = String::new();
    loop {
        let Some((before, markup)) = rest.split_once('<') else {
            text.push_str(&unescaped(rest));
            return Some((text.trim().to_owned(), false));
        };
        text.push_str(&unescaped(before));
        if let Some(data) = markup.strip_prefix("![CDATA[") {
            let (data, after) = data.split_once("]]>")?;
            text.push_str(data);
            rest = after;
        } else if let Some(comment) = markup.strip_prefix("!--") {
            rest = comment.split_once("-->")?.1;
        } else {
            return Some((text.trim().to_owned(), markup.starts_with('/')));
        }
    }
}

/// Replaces the entities that XML predefines; others are kept.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, entity)) = rest.split_once('&') {
        plain.push_str(before);
        let known = entity.split_once(';').and_then(|(name, after)| {
            let number = name.strip_prefix('#');
            let c = match (name, number) {
                ("lt", _) => '<',
                ("gt", _) => '>',
                ("amp", _) => '&',
                ("quot", _) => '"',
                ("apos", _) => '\'',
                (_, Some(number)) => {
                    let code = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16),
                        None => number.parse(),
                    };
                    char::from_u32(code.ok()?)?
                }
                _ => return None,
            };
            Some((c, after))
        });
        if let Some((c, after)) = known {
            plain.push(c);
            rest = after;
        } else {
            plain.push('&');
            rest = entity;
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code_and_message(body: &[u8]) -> (Option<String>, Option<String>) {
        let body = ErrorBody::parse(body).unwrap_or_default();
        (body.code, body.message)
    }

    #[test]
    fn errors_are_read_however_they_are_written() {
        let utf16: Vec<u8> = "<Error><Code>SlowDown</Code><Message>wait</Message></Error>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = [b"\xff\xfe".as_slice(), &utf16].concat();
        for body in [
            b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>wait</Message></Error>".as_slice(),
            b"\n\n<?xml version=\"1.0\"?>\n<Error>\n <Code> SlowDown </Code>\n <Message>\nwait\n</Message></Error>",
            b"<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>SlowDown</Code><Message>wait</Message></Error></ErrorResponse>",
            b"<s3:Error><s3:Code>SlowDown</s3:Code><s3:Message>wait</s3:Message></s3:Error>",
            b"\xef\xbb\xbf<Error><!-- <Code>No</Code> --><Code>SlowDown</Code><Message><![CDATA[wait]]></Message></Error>",
            b"<!DOCTYPE Error><Error><Message>w&#97;it</Message><Code>Slow&#x44;own</Code></Error>",
            b"<Error><Code>SlowDown</Code><Message>wait",
            &utf16,
            &marked,
        ] {
            let read = code_and_message(body);
            assert_eq!(
                read,
                (Some("SlowDown".to_owned()), Some("wait".to_owned())),
                "{}",
                String::from_utf8_lossy(body)
            );
        }
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Error><Code>A</Code><Message>\xe9</Message></Error>";
        assert_eq!(code_and_message(latin).1.as_deref(), Some("é"));
    }

    #[test]
    fn half_a_code_is_none() {
        for body in [
            b"<Error><Code>Slow".as_slice(),
            b"<Error><Code></Code><Message>m</Message></Error>",
            b"<Error><Code/></Error>",
            b"<html><body><Error><Code>SlowDown</Code></Error></body></html>",
            b"{\"code\":\"SlowDown\"}",
            b"",
        ] {
            assert_eq!(code_and_message(body).0, None, "{body:?}");
        }
    }

    #[test]
    fn region_endpoint_and_time_are_elements() {
        let body = b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>\
            <Region>eu-west-1</Region><ServerTime>2024-01-01T00:00:00Z</ServerTime></Error>";
        let body = ErrorBody::parse(body).unwrap();
        assert_eq!(body.region.as_deref(), Some("eu-west-1"));
        assert_eq!(
            body.endpoint.as_deref(),
            Some("b.s3.eu-west-1.amazonaws.com")
        );
        assert_eq!(body.server_time.as_deref(), Some("2024-01-01T00:00:00Z"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let body = format!("<Error><Message>{}</Message></Error>", "é".repeat(2_000));
        let message = ErrorBody::parse(body.as_bytes()).unwrap().message.unwrap();
        assert!(message.len() <= MAX_MESSAGE + "…".len() && message.ends_with('…'));
        let body = format!("<Error><Code>{}</Code></Error>", "x".repeat(2_000));
        assert_eq!(
            ErrorBody::parse(body.as_bytes())
                .unwrap()
                .code
                .unwrap()
                .len(),
            MAX_CODE + "…".len()
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ErrorBody::parse(&bytes);
            let _ = ErrorBody::parse(&[b"<Error><Code>".as_slice(), &bytes].concat());
        }

        #[test]
        fn no_markup_panics(pieces in proptest::collection::vec(
            prop::sample::select(vec!["<", ">", "</", "/>", "<!--", "-->", "<![CDATA[", "]]>", "&", "#x", ";", "Error", "Code", "Message", " ", "é"]), 0..40,
        )) {
            let text = pieces.concat();
            let _ = ErrorBody::parse(text.as_bytes());
            let _ = ErrorBody::parse(format!("<Error>{text}").as_bytes());
        }
    }
}
