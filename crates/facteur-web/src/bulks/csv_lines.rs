//! A bulk as CSV: a header row names the columns, one of which holds the numbers; every column is a variable.

use std::collections::BTreeMap;
use std::io::{self, Chain, Cursor, Read};

use axum::http::StatusCode;
use csv::{ByteRecord, ReaderBuilder, StringRecord, Terminator};
use facteur_core::document::Scalar;

use super::gauge::{Gauge, Gauged, LINE_BYTES_MAX, line_too_long};
use super::lines::{Outlet, Recipient};
use crate::error::ApiError;

const EMPTY_FILE: ApiError = ApiError::at(
    StatusCode::UNPROCESSABLE_ENTITY,
    "phone_column_missing",
    "to",
    "the file is empty: row 1 names the columns, one of them `phone`, `telephone`, `mobile`, `numero` or `to`",
);
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
    let start = first_bytes(&mut source).map_err(|_| unreadable(1))?;
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let mut rows = Rows::of(text, &mut source);
    let (row, headers) = loop {
        match rows.next()? {
            None => return Err(EMPTY_FILE),
            Some((_, row)) if row.iter().all(str::is_empty) => {}
            Some(found) => break found,
        }
    };
    let columns = Columns::of(&headers, row)?;
    loop {
        // What stands in the reader's buffer was read ahead.
        gauge.allow(LINE_BYTES_MAX);
        let next = rows.next();
        if gauge.is_over() {
            return Err(line_too_long(outlet.count() + 1));
        }
        let Some((row, record)) = next? else { break };
        // Spreadsheets leave rows of empty cells at the end.
        if record.iter().all(str::is_empty) {
            continue;
        }
        if record.len() != headers.len() {
            let sentence =
                format!("row {row} has {} columns, and the header row {}", record.len(), headers.len());
            return Err(ApiError::invalid("row_columns", sentence));
        }
        match outlet.line(columns.recipient(&record)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(at_row(error, row)),
            Err(_) => return Ok(None),
        }
    }
    Ok(outlet.flush().ok().map(|()| outlet.count()))
}

/// Rows with their numbers, as a spreadsheet counts them.
struct Rows<R> {
    reader: csv::Reader<R>,
    /// Where there are no line feeds, rows are counted as they come.
    has_line_feeds: bool,
    last: u64,
    /// Whether the last row was the one that is put behind every file. Only a quote that is never closed swallows it.
    is_at_end: bool,
}

impl<'a, S: Read> Rows<Chain<Chain<Cursor<&'a [u8]>, &'a mut S>, &'static [u8]>> {
    fn of(start: &'a [u8], source: &'a mut S) -> Self {
        let has_line_feeds = start.contains(&b'\n') || !start.contains(&b'\r');
        // A row must end where its line feed does, or else the next one would begin there and be counted too low; the
        // carriage return before it is trimmed.
        let (end, last_row) =
            if has_line_feeds { (b'\n', &b"\n\"\"\n"[..]) } else { (b'\r', &b"\r\"\"\r"[..]) };
        let reader = ReaderBuilder::new()
            .delimiter(delimiter(start))
            .terminator(Terminator::Any(end))
            .has_headers(false)
            .flexible(true)
            .from_reader(Cursor::new(start).chain(source).chain(last_row));
        Self { reader, has_line_feeds, last: 0, is_at_end: false }
    }

    /// The next row, its cells trimmed, and its number; of a row with line breaks in its cells the first one.
    fn next(&mut self) -> Result<Option<(u64, StringRecord)>, ApiError> {
        let mut bytes = ByteRecord::new();
        if !self.reader.read_byte_record(&mut bytes).map_err(|_| unreadable(self.last + 1))? {
            return if self.is_at_end { Ok(None) } else { Err(unclosed(self.last + 1)) };
        }
        self.is_at_end = bytes.len() == 1 && bytes[0].is_empty();
        let breaks: usize = bytes.iter().map(|cell| cell.iter().filter(|byte| **byte == b'\n').count()).sum();
        let row = if self.has_line_feeds {
            self.reader.position().line().saturating_sub(1 + breaks as u64)
        } else {
            self.last + 1
        };
        self.last = row;
        let mut record = StringRecord::from_byte_record(bytes).map_err(|_| not_utf8(row))?;
        record.trim();
        Ok(Some((row, record)))
    }
}

/// Where the file is to be divided.
fn at_row(error: ApiError, row: u64) -> ApiError {
    ApiError { sentence: format!("{} (row {row} is the first one too many)", error.sentence).into(), ..error }
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
    fn of(headers: &StringRecord, row: u64) -> Result<Self, ApiError> {
        let names: Vec<String> = headers.iter().map(str::to_owned).collect();
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let phones: Vec<usize> =
            PHONE_COLUMNS.iter().filter_map(|known| plain.iter().position(|name| name == known)).collect();
        let Some(&phone) = phones.first() else {
            let sentence = format!(
                "no column of the header row (row {row}) is called `phone`, `telephone`, `mobile`, `numero` or `to`"
            );
            return Err(ApiError::invalid("phone_column_missing", sentence).field("to"));
        };
        let name = NAME_COLUMNS.iter().find_map(|known| plain.iter().position(|name| name == known));
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = names.iter().position(|name| !name.is_empty() && !seen.insert(name)) {
            let sentence =
                format!("column {} of the header row (row {row}) is called as an earlier one", twice + 1);
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

/// What stands in a row is personal.
fn not_utf8(row: u64) -> ApiError {
    let sentence = format!("row {row} is not UTF-8: save the file as \"CSV UTF-8\"");
    ApiError { sentence: sentence.into(), ..ApiError::new(StatusCode::BAD_REQUEST, "invalid_utf8", "") }
}

fn unclosed(row: u64) -> ApiError {
    let sentence = format!("a quote that begins at row {row} is never closed: what follows it would be lost");
    ApiError::invalid("malformed_csv", sentence)
}

/// Nothing more could be read; why is known where the body comes in.
fn unreadable(row: u64) -> ApiError {
    ApiError::invalid("malformed_csv", format!("row {row} can't be read"))
}

#[cfg(test)]
#[path = "csv_lines_tests.rs"]
mod tests;
