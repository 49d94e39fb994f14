//! Twilio's own Python library and we agree on what is signed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use facteur_twilio::signature::{sign, verify};
use serde_json::{Value, json};

const CASES: usize = 10_000;

const TOKENS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
const SCHEMES: [&str; 2] = ["https", "http"];
const HOSTS: [&str; 3] = ["hooks.example.com", "localhost", "10.0.0.7"];
const PORTS: [&str; 5] = ["", ":443", ":80", ":8080", ":8443"];
const PATHS: [&str; 6] =
    ["/", "/inbox/webhooks/sms", "/inbox/webhooks/sms/", "/a%20b", "/caf%C3%A9", "/twilio/webhook/status"];
const QUERIES: [&str; 6] = [
    "",
    "?message=42&attempt=1",
    "?Body=It%27s+amazing",
    "?x=",
    "?From=%2B33612345678&a=1&a=2",
    "?b=2&a=1#rc=5",
];
const NAMES: [&str; 9] = ["Body", "From", "To", "MessageSid", "body", "É", "MediaUrl0", "A.b", "NumMedia"];
const VALUES: [&str; 10] =
    ["", "Bonjour", "+33612345678", "a+b & c=d\n", "  Grüße 👋", "e\u{301}", "é", "100%", "'\"<>", "SM0"];

/// Always the same numbers, so that a disagreement can be looked at.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

struct Case {
    token: &'static str,
    url: String,
    parameters: Vec<(String, String)>,
    signature: String,
}

impl Case {
    fn drawn(dice: &mut Dice) -> Self {
        let (scheme, host, port) = (dice.of(&SCHEMES), dice.of(&HOSTS), dice.of(&PORTS));
        let query = dice.of(&QUERIES).split('#').next().unwrap_or_default();
        let url = format!("{scheme}://{host}{port}{}{query}", dice.of(&PATHS));
        let parameters: Vec<_> =
            (0..dice.below(8)).map(|_| (dice.of(&NAMES).to_owned(), dice.of(&VALUES).to_owned())).collect();
        let token = TOKENS[dice.below(2)];
        let signature = sign(token, &url, &parameters);
        Self { token, url, parameters, signature }
    }

    /// Changes something after it was signed; sometimes to what is the same for the signature.
    fn tampered(mut self, dice: &mut Dice) -> Self {
        match dice.below(8) {
            0 => self.parameters.push((dice.of(&NAMES).to_owned(), dice.of(&VALUES).to_owned())),
            1 => drop(self.parameters.pop()),
            2 => self.parameters.reverse(),
            3 => self.url = self.url.replace("example", "elsewhere").replace(":8080", ":8081"),
            4 => self.url = self.url.replace(":443", "").replace(":80", ""),
            5 => self.token = TOKENS[dice.below(2)],
            6 => {
                let at = dice.below(27);
                self.signature.replace_range(at..=at, "x");
            }
            _ => self.signature.clear(),
        }
        self
    }

    fn line(&self) -> Value {
        json!({"token": self.token, "url": self.url, "parameters": self.parameters, "signature": self.signature})
    }

    fn is_taken(&self, signature: &str) -> bool {
        verify(&[self.token], &self.url, &self.parameters, signature)
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn the_official_library_takes_what_we_take_and_signs_as_we_do() {
    let mut dice = Dice(7);
    let cases: Vec<Case> = (0..CASES)
        .map(|number| {
            let case = Case::drawn(&mut dice);
            if number % 2 == 0 { case } else { case.tampered(&mut dice) }
        })
        .collect();
    let mut lines = String::new();
    for case in &cases {
        writeln!(lines, "{}", case.line()).unwrap();
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signed_webhooks.jsonl");
    std::fs::write(&file, lines).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/request_validator.py");
    let output = run(Command::new(facteur_testkit::python("twilio").unwrap()).arg(script).arg(&file));
    let verdicts: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verdicts.len(), CASES);
    let mut taken = 0;
    for (case, verdict) in cases.iter().zip(&verdicts) {
        let ours = case.is_taken(&case.signature);
        assert_eq!(verdict["taken"], ours, "{}", case.line());
        let signed = verdict["signed"].as_str().unwrap();
        assert_eq!(signed, sign(case.token, &case.url, &case.parameters), "{}", case.line());
        assert!(case.is_taken(signed), "{}", case.line());
        taken += usize::from(ours);
    }
    // Both kinds were there.
    assert!((CASES / 2..CASES * 9 / 10).contains(&taken), "{taken} of {CASES} were taken");
}
