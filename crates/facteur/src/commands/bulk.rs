//! `facteur bulk`: a CSV file becomes a bulk, directly in the database, and is followed to its end. The file's digest is its
//! key: the same file again is resumed where it was cut, and never becomes a second bulk.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use facteur_core::price::Prices;
use facteur_postgres::bulks;
use facteur_web::{BulkFile, BulkHead, Cost, FileUploaded, Preview, Web};
use facteur_worker::clock::Clock;
use futures_util::stream;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use super::{adapters, bulk_follow};
use crate::cli::{BulkArgs, CategoryName};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::output::{Output, tell};
use crate::wiring;

/// Bytes that are read from the file at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Runs it.
///
/// # Errors
/// What is wrong with the file or the bulk; otherwise whatever the database says.
pub async fn run(args: &BulkArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let file = match (&args.file, args.follow) {
        (_, Some(id)) => {
            return bulk_follow::follow(&adapters::database(config, "bulk").await?, id, output).await;
        }
        (Some(file), None) => file,
        (None, None) => return Ok(Exit::Usage),
    };
    let head = head(args, file);
    let (key, length) = key(file, &head).with_context(|| format!("{} can't be read", file.display()))?;
    let database = adapters::database(config, "bulk").await?;
    let uploaded = upload(args, config, file, (head, key, length)).await;
    match uploaded.map_err(|why| anyhow!("{}: {why}", file.display()))? {
        FileUploaded::Preview(preview) => {
            output.show(&preview, |preview| previewed(preview, args.rate, &config.prices))?;
            Ok(Exit::Done)
        }
        FileUploaded::Accepted(id) => {
            let accepted = Accepted::of(&database, id).await?;
            if args.no_wait {
                output.show(&accepted, Accepted::as_text)?;
                return Ok(Exit::Done);
            }
            tell(&accepted.as_text());
            bulk_follow::follow(&database, id, output).await
        }
    }
}

async fn upload(
    args: &BulkArgs,
    config: &Config,
    file: &Path,
    (head, idempotency_key, length): (BulkHead, String, u64),
) -> Result<FileUploaded, String> {
    let parts = wiring::web_parts(config, &Clock::system()).map_err(|error| format!("{error:#}"))?;
    let web = Web::new(parts);
    let source = tokio::fs::File::open(file).await.map_err(|error| error.to_string())?;
    let bar = bar(length);
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
    let file = BulkFile { head, idempotency_key, is_dry_run: args.dry_run, actor: config::user(), bytes };
    let uploaded = web.upload_file(file).await;
    bar.finish_and_clear();
    uploaded
}

fn head(args: &BulkArgs, file: &Path) -> BulkHead {
    let of_file = || file.file_name().map(|name| name.to_string_lossy().into_owned());
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
fn key(file: &Path, head: &BulkHead) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(head).unwrap_or_default());
    let mut file = File::open(file)?;
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
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} read, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What a dry run came to.
fn previewed(preview: &Preview, rate: Option<f64>, prices: &Prices) -> String {
    let mut lines = vec![format!(
        "would send {} of {} messages, {} segments{}; {} lines refused",
        preview.accepted,
        preview.total,
        preview.segments,
        about(preview.estimated_cost.as_ref()),
        preview.refused
    )];
    lines.extend(unpriced(preview, prices));
    let lasts = rate.and_then(|rate| Duration::try_from_secs_f64(f64::from(preview.accepted) / rate).ok());
    lines.extend(
        lasts.map(|lasts| {
            format!("at {} a second it takes {}", rate.unwrap_or_default(), HumanDuration(lasts))
        }),
    );
    lines.extend(
        preview
            .refused_lines
            .iter()
            .map(|line| format!("  line {}: {} ({})", line.line, line.error, line.code)),
    );
    let shown = u32::try_from(preview.refused_lines.len()).unwrap_or(u32::MAX);
    if preview.refused > shown {
        lines.push(format!("  … and {} more", preview.refused - shown));
    }
    if preview.refused > 0 {
        lines.push("lines are counted from 1 below the header row, empty rows left out".to_owned());
    }
    lines.push("nothing was sent; without --dry-run it is".to_owned());
    lines.join("\n")
}

/// Why there is no estimate, where somebody may wonder.
fn unpriced(preview: &Preview, prices: &Prices) -> Option<String> {
    let countries = preview.unpriced_countries.join(", ");
    let is_without_any = prices.currency.is_none() && preview.estimated_cost.is_none();
    match (countries.is_empty(), is_without_any) {
        (false, _) => {
            Some(format!("no cost is estimated: no price is configured for {countries} ([prices])"))
        }
        (true, true) => Some("no cost is estimated: no price is configured ([prices])".to_owned()),
        (true, false) => None,
    }
}

/// A cost as the end of a clause.
pub(super) fn about(cost: Option<&Cost>) -> String {
    cost.map(|cost| format!(", about {} {}", cost.amount, cost.currency)).unwrap_or_default()
}

/// A bulk that was accepted.
#[derive(Serialize)]
struct Accepted {
    bulk: Uuid,
    recipients: i64,
    refused: i64,
    segments: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_cost: Option<Cost>,
}

impl Accepted {
    async fn of(database: &facteur_postgres::Database, id: Uuid) -> anyhow::Result<Self> {
        let progress = bulks::progress(database, id).await?;
        let currency = bulks::find(database, id).await?.and_then(|bulk| bulk.currency);
        Ok(Self {
            bulk: id,
            recipients: progress.total(),
            refused: progress.states.get("refused").copied().unwrap_or_default(),
            segments: progress.segments,
            estimated_cost: progress
                .cost()
                .zip(currency)
                .map(|(cost, currency)| Cost::in_currency(cost, &currency)),
        })
    }

    fn as_text(&self) -> String {
        let cost = about(self.estimated_cost.as_ref());
        let Self { bulk, recipients, refused, segments, .. } = self;
        format!("{bulk} accepted: {recipients} recipients, {refused} refused, {segments} segments{cost}")
    }
}
