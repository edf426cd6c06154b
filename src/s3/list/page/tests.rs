use proptest::prelude::*;

use super::*;

/// A last page with these elements and an object, the encoding being stated.
fn page(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>{inner}</ListBucketResult>"
    )
}

fn object(key: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size><Owner><ID>o</ID><DisplayName>Key</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
    )
}

const LAST: &str = "<IsTruncated>false</IsTruncated>";
const URL: &str = "<EncodingType>url</EncodingType>";

/// The keys of a page, a row that cannot be used as its error, and a page that cannot be used as what is wrong with it.
fn read(body: &str, prefix: &str) -> Result<Vec<String>, String> {
    let page = Page::read(body.as_bytes(), prefix).map_err(|fault| fault.to_string())?;
    let described = |row: Result<Entry, UnusableRow>| match row {
        Ok(entry) => entry.key,
        Err(unusable) => format!("{:?}", crate::outcome::Outcome::from(unusable.why)),
    };
    Ok(page.rows.into_iter().map(described).collect())
}

fn keys(inner: &str) -> Result<Vec<String>, String> {
    read(&page(&format!("{LAST}{inner}")), "")
}

#[test]
fn an_object_has_its_key_size_etag_and_time() {
    let body = page(&format!("{LAST}<KeyCount>1</KeyCount>{}", object("a/b")));
    let page = Page::read(body.as_bytes(), "a/").unwrap();
    assert_eq!(page.next, None);
    let entry = page.rows[0].as_ref().unwrap();
    assert_eq!((entry.key.as_str(), entry.size), ("a/b", Some(7)));
    assert_eq!(entry.etag, ETag::of_row("e"));
    let time = entry.last_modified.map(|time| time.to_string());
    assert_eq!(time.as_deref(), Some("2024-01-02T03:04:05Z"));
}

#[test]
fn a_page_that_is_not_the_last_one_says_how_to_ask_for_the_next() {
    let body = page(
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;=</NextContinuationToken>",
    );
    let page = Page::read(body.as_bytes(), "").unwrap();
    assert_eq!((page.next.as_deref(), page.rows.len()), (Some("t&="), 0));
}

#[test]
fn what_is_odd_and_yet_clear_is_read() {
    for (key, plain) in [
        ("a&#13;b&#x1;&lt;&amp;&gt;", "a\rb\u{1}<&>"),
        (" a b ", " a b "),
        ("a\nb", "a\nb"),
        ("<![CDATA[a&b]]>", "a&b"),
        ("a<!-- x -->b", "ab"),
        ("a\u{1}\u{fffe}", "a\u{1}\u{fffe}"),
        ("%2B+a", "%2B+a"),
    ] {
        assert_eq!(keys(&object(key)), Ok(vec![plain.to_owned()]), "{key}");
    }
    let plain = page(&format!("{LAST}{}", object("k")));
    for body in [
        format!("\u{feff}{plain}"),
        format!("\n  {plain}\n"),
        plain
            .replace("Contents", "s3:Contents")
            .replace("<Key>", "<s3:Key>")
            .replace("</Key>", "</s3:Key>"),
        plain.replace("false", " false "),
        plain.replace("false", "FALSE"),
        plain.replace(
            LAST,
            &format!("{LAST}<NextContinuationToken/><KeyCount>0</KeyCount>"),
        ),
        plain.replace("<Size>7</Size>", "<Size>many</Size>"),
        plain
            .replace("<Size>7</Size>", "")
            .replace("<ETag>", "<Etag>")
            .replace("</ETag>", "</Etag>"),
    ] {
        assert_eq!(read(&body, ""), Ok(vec!["k".to_owned()]), "{body}");
    }
}

#[test]
fn keys_are_decoded_if_the_reply_says_that_they_are_encoded() {
    for (key, plain) in [
        ("a+b%2Bc%20d", "a b+c d"),
        ("%C3%BC/%01%0D", "ü/\u{1}\r"),
        ("100%", "100%"),
        ("%zz", "%zz"),
    ] {
        assert_eq!(
            keys(&format!("{URL}{}", object(key))),
            Ok(vec![plain.to_owned()])
        );
        // The element may stand at the end.
        assert_eq!(
            keys(&format!("{}{URL}", object(key))),
            Ok(vec![plain.to_owned()])
        );
    }
    let empty = format!("<EncodingType></EncodingType>{}", object("a+b"));
    assert_eq!(keys(&empty), Ok(vec!["a+b".to_owned()]));
    let rows = keys(&format!("{URL}{}{}", object("%ff"), object("k"))).unwrap();
    assert!(rows[0].contains("InvalidRow") && rows[1] == "k", "{rows:?}");
    let body = page(&format!("{LAST}{URL}{}", object("a+%C3%BC/k")));
    assert_eq!(read(&body, "a ü/"), Ok(vec!["a ü/k".to_owned()]));
}

#[test]
fn a_key_that_s3_cannot_hold_fails_alone() {
    let rows = keys(&format!("{}{}", object(&"k".repeat(1025)), object("l"))).unwrap();
    assert!(rows[0].contains("InvalidKey") && rows[1] == "l", "{rows:?}");
}

#[test]
fn keys_that_were_only_listed_with_others_are_dropped() {
    let body = page(&format!(
        "{LAST}{URL}{}{}{}",
        object("a/b"),
        object("a/c"),
        object("%ff")
    ));
    let mut page = Page::read(body.as_bytes(), "").unwrap();
    page.retain("a/c");
    assert_eq!(page.rows.len(), 2);
    assert_eq!(page.rows[0].as_ref().unwrap().key, "a/c");
}

#[test]
fn a_page_that_contradicts_itself_is_refused() {
    let two = format!("{}{}", object("a"), object("b"));
    let cases = [
        (page(&two), "IsTruncated"),
        (
            page(&format!("<IsTruncated>maybe</IsTruncated>{two}")),
            "IsTruncated",
        ),
        (
            page(&format!("<IsTruncated>true</IsTruncated>{two}")),
            "without `NextContinuationToken`",
        ),
        (
            page(&format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken></NextContinuationToken>{two}"
            )),
            "without `NextContinuationToken`",
        ),
        (
            page(&format!(
                "{LAST}<NextContinuationToken>t</NextContinuationToken>{two}"
            )),
            "without `IsTruncated`",
        ),
        (
            page(&format!("{LAST}<KeyCount>3</KeyCount>{two}")),
            "has 2 keys, and says that it has 3",
        ),
        (
            page(&format!("{LAST}<KeyCount>1</KeyCount>{two}")),
            "says that it has 1",
        ),
        (
            page(&format!("{LAST}<KeyCount>x</KeyCount>{two}")),
            "KeyCount",
        ),
        (
            page(&format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>{two}",
                "t".repeat(10_000)
            )),
            "`NextContinuationToken` has 10,000 bytes",
        ),
        (page(&format!("{LAST}{LAST}{two}")), "twice"),
        (page(&format!("{LAST}{}", object(""))), "without a key"),
        (page(&format!("{LAST}<Contents/>")), "without a key"),
        (
            page(&format!("{LAST}<Contents><Size>1</Size></Contents>")),
            "without a key",
        ),
        (page(&format!("{LAST}{}", object("a</Key><Key>b"))), "twice"),
        (page(&format!("{LAST}{}", object("&nbsp;"))), "`&nbsp;`"),
        (page(&format!("{LAST}{}", object("&#x0;"))), "&#x0;"),
        (page(&format!("{LAST}{}", object("a<b"))), "within a text"),
        (page(&format!("{LAST}{}", object("a<b/>"))), "within a text"),
        (
            "<html><body>hello</body></html>".to_owned(),
            "not a listing but `html`",
        ),
        (
            "<Error><Code>InternalError</Code></Error>".to_owned(),
            "it is an error",
        ),
        (String::new(), "cut off"),
        ("hello".to_owned(), "outside"),
        ("{}".to_owned(), "outside"),
        (format!("{}<x/>", page(LAST)), "empty"),
        (format!("{}{}", page(LAST), page(LAST)), "follows"),
        (format!("{}x", page(LAST)), "outside"),
    ];
    for (body, said) in cases {
        let fault = read(&body, "").unwrap_err();
        assert!(fault.contains(said), "{body}: {fault}");
    }
    assert!(Page::read(b"\xff", "").is_err());
    let other = read(&page(&format!("{LAST}{}", object("q/a"))), "p/").unwrap_err();
    assert!(
        other.contains("`q/a`, which does not begin with `p/`"),
        "{other}"
    );
    // Folded prefixes count as keys.
    let folded = format!(
        "{LAST}<KeyCount>2</KeyCount>{}<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
        object("a")
    );
    assert_eq!(read(&page(&folded), ""), Ok(vec!["a".to_owned()]));
    let read_folded = |body: &str| Page::read(body.as_bytes(), "").unwrap().folded;
    assert_eq!(read_folded(&page(&folded)).as_deref(), Some("p/"));
    // Some servers write an empty one.
    for empty in [
        "<CommonPrefixes/>",
        "<CommonPrefixes></CommonPrefixes>",
        "<CommonPrefixes><Prefix/></CommonPrefixes>",
    ] {
        let body = page(&format!(
            "{LAST}<KeyCount>1</KeyCount>{}{empty}",
            object("a")
        ));
        assert_eq!(read_folded(&body), None, "{empty}");
    }
}

#[test]
fn a_page_that_is_cut_off_anywhere_is_refused() {
    let whole = page(&format!(
        "{LAST}<KeyCount>2</KeyCount>{URL}{}{}",
        object("a"),
        object("%C3%BC")
    ));
    assert!(read(&whole, "").is_ok());
    for end in 0..whole.len() {
        assert!(read(&whole[..end], "").is_err(), "{}", &whole[..end]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_page_or_not(body in proptest::collection::vec(any::<u8>(), 0..200), prefix in ".{0,3}") {
        let _ = Page::read(&body, &prefix);
    }

    #[test]
    fn any_pieces_of_a_page_are_one_or_not(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "<ListBucketResult>", "</ListBucketResult>", "<Contents>", "</Contents>", "<Key>", "</Key>", "k", "&amp;", "&#x;",
            "<IsTruncated>false</IsTruncated>", "<KeyCount>", "</KeyCount>", "1", "<!--", "-->", "<![CDATA[", "]]>", "<?xml?>",
            "<EncodingType>url</EncodingType>", "%", "+", "<", ">", "/", "\"", "<!DOCTYPE a [", "]>", "é",
        ]), 0..24),
    ) {
        if let Ok(page) = Page::read(pieces.concat().as_bytes(), "k") {
            for entry in page.rows.iter().flatten() {
                prop_assert!(entry.key.starts_with('k'));
            }
        }
    }

    #[test]
    fn every_key_comes_through(keys in proptest::collection::vec(".{1,20}", 0..5)) {
        let encoded = |key: &String| {
            percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%20", "+")
        };
        let objects: String = keys.iter().map(|key| object(&encoded(key))).collect();
        let body = page(&format!("{LAST}<KeyCount>{}</KeyCount>{URL}{objects}", keys.len()));
        prop_assert_eq!(read(&body, ""), Ok(keys));
    }
}
