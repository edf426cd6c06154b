use super::*;

#[test]
fn ours_is_known_by_its_first_columns() {
    let header: Vec<_> = crate::report::failed_keys::header().collect();
    let header = header.join(",");
    let first = KNOWN_COLUMNS.join(",");
    for ours in [
        format!("{header}\nk,b\n"),
        format!("{header},more\n"),
        format!("\u{feff}{header}\r\n"),
        first.clone(),
    ] {
        assert!(begins_as_ours(ours.as_bytes()), "{ours}");
    }
    for foreign in [
        String::new(),
        format!("\n{header}\n"),
        format!(" {header}\n"),
        format!("{first}s\n"),
        header.replace("error", "Error"),
        header.replace(',', ";"),
        format!("k\n{header}\n"),
    ] {
        assert!(!begins_as_ours(foreign.as_bytes()), "{foreign}");
    }
}

#[test]
fn the_name_of_an_incomplete_record_fits() {
    let name = |name: &str, n| incomplete(Path::new(name), n);
    assert_eq!(name("d/a.csv", 1), Path::new("d/a.csv.incomplete"));
    assert_eq!(name("a.csv", 2), Path::new("a.csv.incomplete-2"));
    let long = "ü".repeat(127);
    let cut = name(&long, 999).to_string_lossy().into_owned();
    assert!(
        cut.len() <= MAX_NAME && cut.ends_with(".incomplete-999"),
        "{cut}"
    );
}
