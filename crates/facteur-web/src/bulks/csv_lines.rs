//! A bulk as CSV: a header row names the columns, one of which holds the numbers; every column is a variable.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use axum::http::StatusCode;
use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use facteur_core::document::Scalar;

use super::gauge::{Gauge, Gauged, LINE_BYTES_MAX, line_too_long};
use super::lines::{Outlet, Recipient};
use crate::error::ApiError;

/// Longest header row, in bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Names of the column that holds the numbers, without accents, signs and case: in English and French.
const PHONE_COLUMNS: [&str; 27] = [
    "to",
    "phone",
    "phonenumber",
    "phoneno",
    "telephone",
    "tel",
    "telephonenumber",
    "mobile",
    "mobilephone",
    "mobilenumber",
    "cell",
    "cellphone",
    "number",
    "recipient",
    "msisdn",
    "gsm",
    "sms",
    "portable",
    "numero",
    "numerodetelephone",
    "numerodeportable",
    "numerotelephone",
    "numeromobile",
    "telephonemobile",
    "telephoneportable",
    "destinataire",
    "whatsapp",
];
/// Names of the column that holds the recipient's name.
const NAME_COLUMNS: [&str; 5] = ["name", "fullname", "nom", "nomcomplet", "nometprenom"];

/// Reads a file to its end, and returns how many lines it had; `None` if nobody waits for them any more.
pub(super) fn read(source: &mut impl Read, outlet: &mut Outlet) -> Result<Option<u32>, ApiError> {
    let gauge = Gauge::new(HEADER_BYTES_MAX + LINE_BYTES_MAX);
    let mut source = Gauged { source, gauge: &gauge };
    let start = first_bytes(&mut source).map_err(|error| unreadable(&csv::Error::from(error), 1))?;
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .trim(Trim::All)
        .flexible(false)
        .from_reader(Cursor::new(text).chain(source));
    let columns = Columns::of(reader.headers().map_err(|error| unreadable(&error, 1))?)?;
    let mut record = StringRecord::new();
    loop {
        // What stands in the reader's buffer was read ahead.
        gauge.allow(LINE_BYTES_MAX);
        match reader.read_record(&mut record) {
            Ok(false) => break,
            // Spreadsheets leave rows of empty cells at the end.
            Ok(true) if record.iter().all(str::is_empty) => {}
            Ok(true) => match outlet.line(columns.recipient(&record)) {
                Ok(taken) => taken?,
                Err(_) => return Ok(None),
            },
            Err(_) if gauge.is_over() => return Err(line_too_long(outlet.count() + 1)),
            Err(error) => return Err(unreadable(&error, u64::from(outlet.count()) + 2)),
        }
    }
    Ok(outlet.flush().ok().map(|()| outlet.count()))
}

/// At least the header row.
fn first_bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = vec![0; HEADER_BYTES_MAX];
    let mut filled = 0;
    while filled < start.len() && !start[..filled].contains(&b'\n') {
        match source.read(&mut start[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    start.truncate(filled);
    Ok(start)
}

/// The sign between columns: which of the usual ones stands most often in the header row, outside of quotes.
fn delimiter(start: &[u8]) -> u8 {
    let row = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut is_quoted = false;
    for byte in row {
        is_quoted ^= *byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(sign, _)| sign == byte && !is_quoted) {
            *count += 1;
        }
    }
    // The first of equals, so that a single column is read as any.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(sign, _)| *sign)
}

struct Columns {
    names: Vec<String>,
    phone: usize,
    name: Option<usize>,
}

impl Columns {
    fn of(headers: &StringRecord) -> Result<Self, ApiError> {
        let names: Vec<String> = headers.iter().map(str::to_owned).collect();
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let phones: Vec<usize> =
            PHONE_COLUMNS.iter().filter_map(|known| plain.iter().position(|name| name == known)).collect();
        let Some(&phone) = phones.first() else {
            let sentence =
                "no column of the header row is called `phone`, `telephone`, `mobile`, `numero` or `to`";
            return Err(ApiError::invalid("phone_column_missing", sentence).field("to"));
        };
        let name = NAME_COLUMNS.iter().find_map(|known| plain.iter().position(|name| name == known));
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = names.iter().position(|name| !name.is_empty() && !seen.insert(name)) {
            let sentence = format!("column {} of the header row is called as an earlier one", twice + 1);
            return Err(ApiError::invalid("invalid_field", sentence));
        }
        Ok(Self { names, phone, name })
    }

    fn recipient(&self, record: &StringRecord) -> Recipient {
        let cell = |index: usize| record.get(index).unwrap_or_default();
        let is_variable = |index: &usize| *index != self.phone && !self.names[*index].is_empty();
        let variables: BTreeMap<String, Scalar> = (0..self.names.len())
            .filter(is_variable)
            .filter(|index| !cell(*index).is_empty())
            .map(|index| (self.names[index].clone(), Scalar::Text(cell(index).to_owned())))
            .collect();
        let name = self.name.map(cell).filter(|name| !name.is_empty()).map(str::to_owned);
        Recipient { to: cell(self.phone).to_owned(), name, variables }
    }
}

/// A column's name without accents, signs and case.
fn plain(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter_map(|sign| match sign {
            'é' | 'è' | 'ê' | 'ë' => Some('e'),
            sign => sign.is_alphanumeric().then_some(sign),
        })
        .collect()
}

/// The row is named as a spreadsheet counts it; what stands in it is personal.
fn unreadable(error: &csv::Error, row: u64) -> ApiError {
    let row = error.position().map_or(row, csv::Position::line);
    match error.kind() {
        ErrorKind::Utf8 { .. } => {
            let sentence = format!("row {row} is not UTF-8: save the file as \"CSV UTF-8\"");
            ApiError {
                sentence: sentence.into(),
                ..ApiError::new(StatusCode::BAD_REQUEST, "invalid_utf8", "")
            }
        }
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let sentence = format!("row {row} has {len} columns, and the header row {expected_len}");
            ApiError::invalid("row_columns", sentence)
        }
        _ => ApiError::invalid("malformed_csv", format!("row {row} can't be read as CSV")),
    }
}

#[cfg(test)]
#[path = "csv_lines_tests.rs"]
mod tests;
