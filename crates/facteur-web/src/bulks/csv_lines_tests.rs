use tokio::sync::mpsc;

use super::super::lines::Piece;
use super::*;

fn lines(file: &[u8]) -> Result<Vec<Recipient>, ApiError> {
    let (sender, mut pieces) = mpsc::channel(64);
    let result = read(&mut &file[..], &mut Outlet::new(sender));
    result.map(|_| {
        let mut all = Vec::new();
        while let Ok(Piece::Lines(lines)) = pieces.try_recv() {
            all.extend(lines);
        }
        all
    })
}

fn recipient(to: &str, name: Option<&str>, variables: &[(&str, &str)]) -> Recipient {
    let variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), Scalar::Text((*value).to_owned())));
    Recipient { to: to.to_owned(), name: name.map(str::to_owned), variables: variables.collect() }
}

#[test]
fn files_as_spreadsheets_write_them_are_read_in_all_their_spellings() {
    let expected = vec![
        recipient(
            "06 12 34 56 78",
            Some("Zoé; dite \"Z\""),
            &[("Nom", "Zoé; dite \"Z\""), ("date", "15 juin")],
        ),
        recipient("+33612345679", None, &[("date", "16 juin")]),
    ];
    for file in [
        "Téléphone;Nom;date\r\n06 12 34 56 78;\"Zoé; dite \"\"Z\"\"\";15 juin\r\n+33612345679;;16 juin\r\n",
        "\u{feff}Téléphone;Nom;date\n06 12 34 56 78;\"Zoé; dite \"\"Z\"\"\";15 juin\n+33612345679;;16 juin",
        "Nom,date,N° de téléphone mobile,MOBILE\n\"Zoé; dite \"\"Z\"\"\",15 juin,,06 12 34 56 78\n,16 juin,,+33612345679\n,,,\n",
        "T\u{e9}l\u{e9}phone;Nom;date\r06 12 34 56 78;\"Zo\u{e9}; dite \"\"Z\"\"\";15 juin\r+33612345679;;16 juin\r",
        "Nom\tPhone Number\tdate\n\"Zoé; dite \"\"Z\"\"\"\t 06 12 34 56 78 \t15 juin\n\t+33612345679\t16 juin\n\n",
    ] {
        assert_eq!(lines(file.as_bytes()).unwrap(), expected, "{file}");
    }
    assert_eq!(lines(b"to\n0612345678\n").unwrap(), [recipient("0612345678", None, &[])]);
    assert_eq!(lines(b"\"phone\";\"a,b,c\"\n0612345678;x\n").unwrap()[0].variables.len(), 1);
}

#[test]
fn what_cannot_be_read_is_named_by_its_row() {
    let code = |file: &[u8]| lines(file).unwrap_err();
    assert_eq!(code(b"name,date\nJean,x\n").code, "phone_column_missing");
    assert_eq!(code(b"").code, "phone_column_missing");
    let error = code(b"phone,name\n0612345678,Jean\n0612345679\n");
    assert_eq!(
        (error.code, error.sentence.contains("row 3 has 1 columns")),
        ("row_columns", true),
        "{}",
        error.sentence
    );
    let latin = code(b"phone,name\n0612345678,Zo\xe9\n");
    assert_eq!((latin.code, latin.sentence.contains("row 2")), ("invalid_utf8", true), "{}", latin.sentence);
    assert_eq!(code(b"phone,a,a\n1,2,3\n").code, "invalid_field");
    for (file, part) in [
        (&b""[..], "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\r\n\r\n", "the file is empty"),
        (b"name,date\nJean,x\n", "(row 1)"),
        (b"phone,a,a\n1,2,3\n", "column 3 of the header row (row 1)"),
        // A spreadsheet's "Unicode text", and a header in Latin-1.
        (b"\xff\xfep\0h\0o\0n\0e\0\n\0", "row 1 is not UTF-8"),
        (b"t\xe9l\xe9phone\n0612345678\n", "row 1 is not UTF-8"),
        // Empty rows count as a spreadsheet counts them, also behind CRLF and a BOM.
        (b"\xef\xbb\xbfphone;name\r\n\r\n;\r\n0612345678;Jean\r\n0612345679\r\n", "row 5 has 1 columns"),
        (b"phone,name\n0612345678,Jean\n\n0612345679,Zo\xe9\n", "row 4 is not UTF-8"),
        (b"phone,name\r\n0612345678,Jean\r\n0612345679", "row 3 has 1 columns"),
        (b"phone,name\r\n0612345678,\"Jean\r\nDupont\"\r\n0612345679,\"a\nb\",c", "row 4 has 3 columns"),
        (b"\n\nname\nJean\n", "(row 3)"),
        (b"phone;name\r0612345678;Jean\r0612345679\r", "row 3 has 1 columns"),
        (b"phone;name\n0612345678;Jean;too much\n", "row 2 has 3 columns, and the header row 2"),
        // A quote that is never closed takes the rest of the file along: where it began is named.
        (
            b"phone,name\n0612345678,Jean\n0612345679,\"Zoe\n0612345680,Ann\n0612345681,Eve\n",
            "at row 3 is never closed",
        ),
        (b"phone,name\n0612345678,\"Jean", "at row 2 is never closed"),
        (b"phone,\"name\n0612345678,Jean\n", "at row 1 is never closed"),
    ] {
        let error = lines(file).map(|lines| lines.len()).unwrap_err();
        assert!(error.sentence.contains(part), "{:?}: {}", String::from_utf8_lossy(file), error.sentence);
    }
}

#[test]
fn the_row_that_is_one_too_many_is_named() {
    let mut file = "phone\n\n".to_owned();
    (0..=facteur_core::bulk::RECIPIENTS_MAX).for_each(|_| file.push_str("0612345678\n"));
    let (sender, mut pieces) = mpsc::channel(200);
    let error = read(&mut file.as_bytes(), &mut Outlet::new(sender)).unwrap_err();
    assert_eq!((error.code, error.field.as_deref()), ("too_many_recipients", Some("recipients")));
    assert!(error.sentence.contains("(row 100003 is the first one too many)"), "{}", error.sentence);
    assert!(pieces.try_recv().is_ok());
}

#[test]
fn a_row_that_is_longer_than_any_message_is_refused_before_it_is_read_to_its_end() {
    let cell = "x".repeat(2 * LINE_BYTES_MAX);
    let rows = format!("phone,name\n0612345678,Jean\n0612345679,\"{cell}\"\n");
    let error = lines(rows.as_bytes()).unwrap_err();
    assert_eq!((error.code, error.field.as_deref()), ("body_too_large", Some("recipients[1]")));
    assert_eq!(lines(format!("phone,{cell}\n0612345678,x\n").as_bytes()).unwrap_err().code, "malformed_csv");
    let many: String = (0..5_000).map(|n| format!("06{n:08},{}\n", "y".repeat(200))).collect();
    assert_eq!(lines(format!("phone,name\n{many}").as_bytes()).unwrap().len(), 5_000);
}
