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
