//! Pages that are made from the code are what the code makes.

use std::path::Path;

use crate::binary::facteur;

fn same(path: &str, arguments: &[&str]) {
    let made = facteur(arguments, &[]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == made.stdout,
        "{path} is not what the code makes; run: cargo run -q -p facteur -- {} > {path}",
        arguments.join(" ")
    );
}

#[test]
fn the_page_of_commands_is_what_the_binary_prints_as_help() {
    same("docs/cli.md", &["reference", "cli"]);
}

#[test]
fn the_page_of_settings_is_the_table() {
    same("docs/configuration.md", &["reference", "configuration"]);
}

#[test]
fn the_pages_of_metrics_states_and_the_job_are_what_the_code_says() {
    same("docs/metrics.md", &["reference", "metrics"]);
    same("docs/openapi.json", &["reference", "openapi"]);
    same("docs/states.md", &["reference", "states"]);
    same("docs/job.v1.schema.json", &["reference", "schema"]);
}

#[test]
fn the_sample_file_is_the_table() {
    same("deploy/facteur.toml", &["config", "sample"]);
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let made = facteur(&["completions", shell], &[]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        assert!(made.stdout.contains("requeue"), "{shell}");
    }
}

#[test]
fn every_page_is_made_under_a_broken_configuration_too() {
    let broken = [("FACTEUR_EVENTS", "perhaps")];
    for arguments in [&["config", "sample"][..], &["completions", "bash"], &["reference", "cli"], &["--help"]]
    {
        assert_eq!(facteur(arguments, &broken).code, Some(0), "{arguments:?}");
    }
}
