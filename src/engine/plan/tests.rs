//! Tables of what comes next.

use super::*;

fn workflow(steps: Value) -> Workflow {
    serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "step": steps})).unwrap()
}

fn progress(status: StepStatus) -> Progress {
    let output = (status == StepStatus::Success).then(|| json!({"ok": true}));
    Progress { status, output, failure: None, retry_at: None }
}

fn check(steps: Value, so_far: &[(&str, StepStatus)], expected: Next) {
    let workflow = workflow(steps);
    let so_far = so_far.iter().map(|(name, status)| ((*name).to_owned(), progress(*status))).collect();
    let situation = Situation {
        workflow: &workflow,
        inputs: &Map::new(),
        run: &json!({"name": "W-000001"}),
        steps: &so_far,
        in_hand: &BTreeSet::new(),
        now: DateTime::UNIX_EPOCH,
    };
    assert_eq!(plan(&situation), expected, "{so_far:?}");
}

fn start(names: &[&str]) -> Next {
    Next::Act(Acts { start: names.iter().map(|name| (*name).to_owned()).collect(), ..Acts::default() })
}

fn step(name: &str, needs: &[&str]) -> Value {
    json!({"name": name, "agent": "noop", "needs": needs})
}

#[test]
fn a_step_starts_when_what_it_needs_is_done() {
    use StepStatus as S;
    let diamond = json!([step("a", &[]), step("b", &["a"]), step("c", &["a"]), step("d", &["b", "c"])]);
    check(diamond.clone(), &[], start(&["a"]));
    check(diamond.clone(), &[("a", S::Success)], start(&["b", "c"]));
    check(diamond.clone(), &[("a", S::Success), ("b", S::Waiting), ("c", S::Success)], Next::Rest { wake_at: None });
    check(diamond.clone(), &[("a", S::Success), ("b", S::Skipped), ("c", S::Success)], start(&["d"]));
    check(diamond, &[("a", S::Success), ("b", S::Success), ("c", S::Success), ("d", S::Success)], Next::Completed);
}

#[test]
fn a_step_whose_process_died_starts_again() {
    check(json!([step("a", &[])]), &[("a", StepStatus::Running)], start(&["a"]));
}

#[test]
fn skipping_passes_on_only_when_nothing_else_leads_there() {
    let chain =
        json!([step("a", &[]), {"name": "b", "agent": "noop", "needs": ["a"], "when": "false"}, step("c", &["b"])]);
    let because = |why: &str, name: &str| Next::Act(Acts { skip: vec![(name.into(), why.into())], ..Acts::default() });
    check(chain.clone(), &[("a", StepStatus::Success)], because("`false` does not hold", "b"));
    let so_far = [("a", StepStatus::Success), ("b", StepStatus::Skipped)];
    check(chain, &so_far, because("every step that it needs was skipped", "c"));
}

#[test]
fn a_condition_over_an_unknown_fact_fails_the_run() {
    let steps = json!([{"name": "a", "agent": "noop", "when": "steps.nobody.total > 5"}]);
    let workflow = workflow(steps);
    let situation = Situation {
        workflow: &workflow,
        inputs: &Map::new(),
        run: &Value::Null,
        steps: &BTreeMap::new(),
        in_hand: &BTreeSet::new(),
        now: DateTime::UNIX_EPOCH,
    };
    assert!(matches!(plan(&situation), Next::Failed(failure) if failure.reason == "expression_error"));
}

#[test]
fn a_failure_ends_the_run_unless_the_step_says_continue() {
    check(
        json!([step("a", &[])]),
        &[("a", StepStatus::Failure)],
        Next::Failed(Failure::high("step_failed", "step a failed")),
    );
    let go_on = json!([{"name": "a", "agent": "noop", "on_error": "continue"}, step("b", &["a"])]);
    check(go_on, &[("a", StepStatus::Failure)], start(&["b"]));
}

/// What becomes of step `d` whose three needs stand like this: it starts, is skipped, or not yet either.
fn becomes_of_d(join: &Value, needs: [usize; 3]) -> char {
    // Every way to lead to `d`, to lead elsewhere, and to be open.
    let ways = [
        ("on", StepStatus::Success, "on"),
        ("", StepStatus::Failure, ""),
        ("", StepStatus::Success, "x"),
        ("", StepStatus::Skipped, ""),
        ("on", StepStatus::Success, "off"),
        ("go", StepStatus::Failure, ""),
        ("", StepStatus::Waiting, ""),
        ("on", StepStatus::FailureRetry, ""),
    ];
    let (mut steps, mut so_far, mut wanted) = (vec![], BTreeMap::new(), vec![]);
    for (name, way) in ["a", "b", "c"].iter().zip(needs) {
        let (kind, status, case) = ways[way];
        let on_error = if kind == "go" { json!({"go_to": "e"}) } else { json!("continue") };
        steps.push(json!({"name": name, "agent": "noop", "on_error": on_error}));
        wanted.push(if kind == "on" { format!("{name}:on") } else { (*name).to_owned() });
        let later = Some(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1));
        so_far.insert(
            (*name).to_owned(),
            Progress { output: Some(json!({"case": case})), retry_at: later, ..progress(status) },
        );
    }
    steps.push(json!({"name": "d", "agent": "noop", "needs": wanted, "join": join}));
    steps.push(step("e", &[]));
    let workflow = workflow(steps.into());
    let (inputs, run, nothing) = (Map::new(), Value::Null, BTreeSet::new());
    let now = DateTime::UNIX_EPOCH;
    let next =
        plan(&Situation { workflow: &workflow, inputs: &inputs, run: &run, steps: &so_far, in_hand: &nothing, now });
    let Next::Act(acts) = next else { return '-' };
    match (acts.start.contains(&"d".into()), acts.skip.iter().any(|(name, _)| name == "d")) {
        (true, false) => 'S',
        (false, true) => 'x',
        (false, false) => '-',
        (true, true) => '!',
    }
}

#[test]
fn every_join_has_its_answer_to_every_standing_of_its_needs() {
    // L leads here, O is open, E leads elsewhere.
    let standings = ["LLL", "LLO", "LLE", "LOO", "LOE", "LEE", "OOO", "OOE", "OEE", "EEE"];
    let table = [
        (json!("all"), "S - S - - S - - - x"),
        (json!("any"), "S S S S S S - - - x"),
        (json!(1), "S S S S S S - - - x"),
        (json!(2), "S S S - - x - - x x"),
        (json!(3), "S - x - x x - x x x"),
        (json!(4), "x x x x x x x x x x"),
    ];
    let letter = |way: usize| ["L", "L", "L", "E", "E", "E", "O", "O"][way];
    for all in 0..512 {
        let ways = [all % 8, all / 8 % 8, all / 64];
        let mut standing = ways.map(letter);
        standing.sort_by_key(|letter| "LOE".find(letter));
        let column = standings.iter().position(|known| *known == standing.concat()).unwrap();
        for (join, row) in &table {
            let expected = row.split(' ').nth(column).unwrap();
            assert_eq!(
                becomes_of_d(join, ways).to_string(),
                expected,
                "join {join} of {ways:?}, {}",
                standing.concat()
            );
        }
    }
}

#[test]
fn a_step_that_failures_lead_to_starts_only_then() {
    use StepStatus as S;
    let go = |name: &str, to: &str| json!({"name": name, "agent": "noop", "on_error": {"go_to": to}});
    let steps = json!([go("a", "mend"), go("b", "mend"), step("mend", &[]), step("after", &["a"])]);
    let skip = |names: &[(&str, &str)]| {
        let skip = names.iter().map(|(name, why)| ((*name).to_owned(), (*why).to_owned())).collect();
        Next::Act(Acts { skip, ..Acts::default() })
    };
    check(steps.clone(), &[("a", S::Waiting), ("b", S::Success)], Next::Rest { wake_at: None });
    let nothing = ("mend", "nothing failed that leads here");
    check(steps.clone(), &[("a", S::Success), ("b", S::Success), ("after", S::Success)], skip(&[nothing]));
    let elsewhere = ("after", "every step that it needs was skipped");
    let so_far = [("a", S::Failure), ("b", S::Waiting), ("mend", S::Running)];
    let Next::Act(acts) = of(steps.clone(), &so_far) else { panic!() };
    assert_eq!(acts.skip, [(elsewhere.0.to_owned(), elsewhere.1.to_owned())], "what else needs it is skipped");
    assert_eq!(of(steps.clone(), &[("a", S::Failure), ("b", S::Waiting), ("after", S::Skipped)]), start(&["mend"]));
    let all = [("a", S::Failure), ("b", S::Failure), ("mend", S::Success), ("after", S::Skipped)];
    check(steps, &all, Next::Completed);
    let nowhere = json!([go("a", "nobody")]);
    check(nowhere, &[("a", S::Failure)], Next::Failed(Failure::high("step_failed", "step a failed")));
}

fn of(steps: Value, so_far: &[(&str, StepStatus)]) -> Next {
    let so_far = so_far.iter().map(|(name, status)| ((*name).to_owned(), progress(*status))).collect();
    next_of(&workflow(steps), &so_far)
}

fn next_of(workflow: &Workflow, so_far: &BTreeMap<String, Progress>) -> Next {
    let (inputs, run, nothing) = (Map::new(), Value::Null, BTreeSet::new());
    plan(&Situation {
        workflow,
        inputs: &inputs,
        run: &run,
        steps: so_far,
        in_hand: &nothing,
        now: DateTime::UNIX_EPOCH,
    })
}

#[test]
fn a_step_is_spread_over_its_list_so_many_at_a_time_and_gathered() {
    use StepStatus as S;
    let spread = |on_error: Value| {
        workflow(
            json!([{"name": "line", "agent": "noop", "for_each": "{{ [7, 8, 9] }}", "width": 2, "on_error": on_error}]),
        )
    };
    let rows = |rows: &[(&str, StepStatus)]| {
        let mut so_far: BTreeMap<String, Progress> =
            rows.iter().map(|(name, status)| ((*name).to_owned(), progress(*status))).collect();
        so_far.insert("line".into(), Progress { output: Some(json!([7, 8, 9])), ..progress(S::Running) });
        so_far
    };
    let check = |on_error: Value, so_far: &[(&str, StepStatus)], expected: Next| {
        assert_eq!(next_of(&spread(on_error.clone()), &rows(so_far)), expected, "{on_error} {so_far:?}");
    };
    let fail = || json!("fail");
    let gather = |gathered| Next::Act(Acts { gather: vec![("line".into(), gathered)], ..Acts::default() });
    let items = vec![json!(7), json!(8), json!(9)];
    let first = Next::Act(Acts { spread: vec![("line".into(), items)], ..Acts::default() });
    assert_eq!(next_of(&spread(fail()), &BTreeMap::new()), first);
    check(fail(), &[], start(&["line[0]", "line[1]"]));
    check(fail(), &[("line[0]", S::Waiting), ("line[1]", S::Waiting)], Next::Rest { wake_at: None });
    check(fail(), &[("line[0]", S::Waiting), ("line[1]", S::Success)], start(&["line[2]"]));
    check(fail(), &[("line[0]", S::Running), ("line[1]", S::Waiting)], start(&["line[0]"]));
    let (ok, none) = (json!({"ok": true}), Value::Null);
    let done = [("line[0]", S::Success), ("line[1]", S::Success), ("line[2]", S::Success)];
    check(fail(), &done, gather(Gathered::Done(json!([ok, ok, ok]))));
    let failed = [("line[0]", S::Success), ("line[1]", S::Failure), ("line[2]", S::Waiting)];
    let failure = || Gathered::Failed(Failure::high("step_failed", "step line[1] failed"));
    check(fail(), &failed, gather(failure()));
    check(json!({"go_to": "line"}), &failed, Next::Rest { wake_at: None });
    check(json!({"go_to": "line"}), &failed[..2], gather(failure()));
    check(json!("continue"), &failed[..2], start(&["line[2]"]));
    let over = [failed[0], failed[1], ("line[2]", S::Success)];
    check(json!("continue"), &over, gather(Gathered::Done(json!([ok, none, ok]))));
}

#[test]
fn what_is_no_list_fails_with_step_and_value_named() {
    let check = |list: &str, expected: &str| {
        let steps = json!([{"name": "line", "agent": "noop", "for_each": list}]);
        let Next::Failed(failure) = of(steps, &[]) else { panic!("{list}") };
        assert_eq!(failure.reason, "expression_error");
        assert!(failure.details.contains("step line") && failure.details.contains(expected), "{}", failure.details);
    };
    check("{{ 7 }}", "7 is no list");
    check("{{ inputs.lines }}", "inputs.lines");
    check("plain", "\"plain\" is no list");
    check("{{ range(1001) }}", "1001 items; at most 1000");
}

#[test]
fn an_instance_sees_its_item_and_steps_do_not_see_instances() {
    let workflow = workflow(json!([{"name": "line", "agent": "noop", "for_each": "{{ [7, 8] }}"}]));
    let list = Progress { output: Some(json!([7, 8])), ..progress(StepStatus::Running) };
    let steps = [("line".to_owned(), list), ("line[0]".to_owned(), progress(StepStatus::Success))].into();
    let (inputs, run, nothing) = (Map::new(), Value::Null, BTreeSet::new());
    let now = DateTime::UNIX_EPOCH;
    let situation =
        Situation { workflow: &workflow, inputs: &inputs, run: &run, steps: &steps, in_hand: &nothing, now };
    let seen = context_of(&situation, "line[1]");
    assert_eq!((&seen["item"], &seen["index"], &seen["steps"]), (&json!(8), &json!(1), &json!({})));
}

#[test]
fn what_nothing_leads_to_fails_instead_of_resting_for_ever() {
    let circle = json!([step("a", &["b"]), step("b", &["a"])]);
    let Next::Failed(failure) = of(circle, &[]) else { panic!("it rests") };
    assert_eq!(failure.details, "nothing leads to: a, b");
}
