//! Measures all scenarios with all peers, and writes the results. Started by `run`.

use std::error::Error;
use std::path::Path;
use std::{fs, process};

use capnode_bench::report::machine::{About, here};
use capnode_bench::report::plan::Plan;
use capnode_bench::report::{Report, chart, markdown};

const USAGE: &str =
    "usage: bench/run [--quick] [--readme] [--repetitions N] [--seconds S] [PEER | SCENARIO]...

Writes results.json, table.md and the charts to bench/results.
  --quick           in less than two minutes: shorter, less often, and without the largest sizes
  --readme          also puts the table and the charts into the README and docs/
  --again           measures nothing: makes the rest of bench/results/results.json
  --repetitions N   how often each measurement is made (default 7; quick 3)
  --seconds S       how long one takes (default 0.3; quick 0.1)
  PEER, SCENARIO    only these, for example: capnode baseline calls-64";

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(Options { plan, again, readme }) = options()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let results = here().join("results");
    let path = results.join("results.json");
    let report = if again {
        serde_json::from_slice(&fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)?
    } else {
        let about = About::new(plan.repetitions, plan.seconds);
        let report = Report { results: plan.run()?, about };
        fs::create_dir_all(&results)?;
        fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
        report
    };
    let table = markdown::whole(&report);
    fs::write(results.join("table.md"), &table)?;
    chart::throughput(&report, &results.join("throughput.svg"))?;
    chart::growth(&report, &results.join("growth.svg"))?;
    if readme {
        publish(&report, &here().join(".."))?;
    }
    println!("{table}");
    Ok(())
}

fn publish(report: &Report, repository: &Path) -> Result<(), Box<dyn Error>> {
    let path = repository.join("README.md");
    let fragment = markdown::fragment(report, "docs/bench.svg");
    let text = fs::read_to_string(&path)?;
    let text = markdown::replace_between(&text, "<!-- bench:begin -->", "<!-- bench:end -->", &fragment)
        .map_err(|error| format!("README.md: {error}"))?;
    fs::write(&path, text)?;
    chart::throughput(report, &repository.join("docs/bench.svg"))?;
    chart::growth(report, &repository.join("docs/bench-growth.svg"))
}

struct Options {
    plan: Plan,
    again: bool,
    readme: bool,
}

/// Returns `None` if the arguments ask for help.
fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut quick, mut again, mut readme) = (false, false, false);
    let (mut repetitions, mut seconds) = (None, None);
    let (mut peers, mut scenarios) = (Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" => return Ok(None),
            "--quick" => quick = true,
            "--again" => again = true,
            "--readme" => readme = true,
            "--repetitions" => repetitions = Some(arguments.next().ok_or(USAGE)?.parse()?),
            "--seconds" => seconds = Some(arguments.next().ok_or(USAGE)?.parse()?),
            name if capnode_bench::peers::info(name).is_some() => peers.push(argument),
            name if capnode_bench::scenarios::Scenario::from_id(name).is_some() => scenarios.push(argument),
            other => return Err(format!("there is no `{other}`\n{USAGE}").into()),
        }
    }
    let repetitions = repetitions.unwrap_or(if quick { 3 } else { 7 });
    if repetitions == 0 {
        return Err(USAGE.into());
    }
    let seconds = seconds.unwrap_or(if quick { 0.1 } else { 0.3 });
    Ok(Some(Options { plan: Plan { repetitions, seconds, quick, peers, scenarios }, again, readme }))
}
