//! `facteur bulk`: a CSV file becomes a bulk, directly in the database. The file's digest is its key: the same file again
//! is resumed where it was cut, and never becomes a second bulk.

use std::fs::File;
use std::io::{self, Read as _};

use anyhow::{Context as _, anyhow};
use facteur_postgres::bulks;
use facteur_web::{BulkFile, BulkHead, FileUploaded, Preview, Web};
use facteur_worker::clock::Clock;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use super::adapters;
use crate::cli::{BulkArgs, CategoryName};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::output::Output;
use crate::wiring;

/// Bytes that are read from the file at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What became of the file.
#[derive(Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk: Option<Uuid>,
    #[serde(flatten)]
    preview: Option<Preview>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<i64>,
}

/// Runs it.
///
/// # Errors
/// What is wrong with the file or the bulk; otherwise whatever the database says.
pub async fn run(args: &BulkArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let head = head(args);
    let (key, length) = key(args, &head).with_context(|| format!("{} can't be read", args.file.display()))?;
    let database = adapters::database(config, "bulk").await?;
    let web = Web::new(wiring::web_parts(config, &Clock::system())?);
    let bar = bar(length);
    let source = tokio::fs::File::open(&args.file).await?;
    let bytes = stream::unfold((source, bar.clone()), |(mut source, bar)| async move {
        let mut piece = vec![0; PIECE_BYTES];
        match source.read(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                bar.inc(count as u64);
                Some((Ok(piece.into()), (source, bar)))
            }
            Err(error) => Some((Err(error), (source, bar))),
        }
    });
    let file =
        BulkFile { head, idempotency_key: key, is_dry_run: args.dry_run, actor: config::user(), bytes };
    let uploaded = web.upload_file(file).await;
    bar.finish_and_clear();
    let told = match uploaded.map_err(|why| anyhow!("{}: {why}", args.file.display()))? {
        FileUploaded::Preview(preview) => {
            Told { bulk: None, preview: Some(*preview), recipients: None, refused: None, segments: None }
        }
        FileUploaded::Accepted(id) => {
            let progress = bulks::progress(&database, id).await?;
            Told {
                bulk: Some(id),
                preview: None,
                recipients: Some(progress.total()),
                refused: Some(progress.states.get("refused").copied().unwrap_or_default()),
                segments: Some(progress.segments),
            }
        }
    };
    output.show(&told, Told::as_text)?;
    Ok(Exit::Done)
}

fn head(args: &BulkArgs) -> BulkHead {
    let of_file = || args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    BulkHead {
        tenant: args.tenant.clone(),
        name: args.name.clone().or_else(of_file),
        channel: Some(args.channel.clone()),
        body: args.body.clone(),
        template: args.template.clone(),
        language: args.language.clone(),
        media_url: args.media.clone(),
        content_sid: None,
        from: args.from.clone(),
        category: args.category.map(CategoryName::category),
        send_at: args.send_at.clone(),
        expires_at: args.expires_at.clone(),
        rate: args.rate,
        error_ratio_max: args.error_ratio_max,
    }
}

/// The digest of the file and of what its messages share, and the file's length in bytes.
fn key(args: &BulkArgs, head: &BulkHead) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(head).unwrap_or_default());
    let mut file = File::open(&args.file)?;
    let (mut piece, mut length) = (vec![0; PIECE_BYTES], 0);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => {
                hash.update(&piece[..count]);
                length += count as u64;
            }
        }
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((format!("file:{digest}"), length))
}

/// Shows nothing where stderr is no terminal.
fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} read, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Told {
    fn as_text(&self) -> String {
        if let Some(preview) = &self.preview {
            let refused = preview
                .refused_lines
                .iter()
                .map(|line| format!("  line {}: {} ({})", line.line, line.error, line.code));
            let mut lines = vec![format!(
                "would send {} of {} messages, {} segments; {} lines refused",
                preview.accepted, preview.total, preview.segments, preview.refused
            )];
            lines.extend(refused);
            lines.push("nothing was sent; without --dry-run it is".to_owned());
            return lines.join("\n");
        }
        format!(
            "{} accepted: {} recipients, {} refused, {} segments",
            self.bulk.unwrap_or_default(),
            self.recipients.unwrap_or_default(),
            self.refused.unwrap_or_default(),
            self.segments.unwrap_or_default()
        )
    }
}
