//! What stands in the pictures.

use serde_json::json;

use super::*;

fn graph() -> Graph {
    let workflow: Workflow = serde_json::from_value(json!({
        "name": "w", "version": 2, "prefix": "W", "title": "Claims & \"more\"", "step": [
            {"name": "route", "agent": "switch", "with": {"cases": ["high"]}, "on_error": {"go_to": "end"}},
            {"name": "ask", "title": "Ask <boss>", "agent": "approval", "needs": ["route:high"], "when": "inputs.x > 5"},
            {"name": "each", "agent": "noop", "needs": ["route"], "for_each": "{{ inputs.list }}", "width": 3},
            {"name": "end", "agent": "noop", "needs": ["ask", "each"], "join": "any"},
        ]
    }))
    .unwrap();
    Graph::of(&workflow)
}

#[test]
fn a_flowchart_shows_cases_conditions_and_ways_out_of_a_failure() {
    insta::assert_snapshot!(graph().mermaid(), @r##"
    ---
    title: "Claims & #quot;more#quot; (w@2)"
    ---
    flowchart TD
        s_route{{"route<br/>route: switch"}}
        s_ask(["Ask #lt;boss#gt;<br/>ask: approval<br/>if inputs.x #gt; 5"])
        s_each["each<br/>each: noop<br/>for each of inputs.list, 3 at once"]
        s_end["end<br/>end: noop<br/>after any of these"]
        s_route -.->|"on failure"| s_end
        s_route -->|"high"| s_ask
        s_route --> s_each
        s_ask --> s_end
        s_each --> s_end
        class s_ask person
        class s_route switch
        classDef person fill:#fff3d6,stroke:#b26a00
        classDef switch fill:#e8f0fe,stroke:#3b5bdb
    "##);
}

#[test]
fn boxes_stand_below_what_leads_to_them_and_apart() {
    let graph = graph();
    let drawn = layout::layout(&graph, |_| 50.0);
    for edge in &graph.edges {
        let (from, to) = (drawn.boxes[edge.from], drawn.boxes[edge.to]);
        assert!(to.1 >= from.1 + from.2 + 20.0, "{edge:?}");
    }
    for (at, (x, y, height)) in drawn.boxes.iter().enumerate() {
        assert!(*x >= 0.0 && x + layout::NODE_WIDTH <= drawn.width && y + height <= drawn.height);
        for (other, row, _) in &drawn.boxes[at + 1..] {
            assert!(row != y || (other - x).abs() >= layout::NODE_WIDTH, "they overlap");
        }
    }
    let svg = graph.svg();
    for part in
        ["Claims &amp; &quot;more&quot;", "Ask &lt;boss&gt;", "if inputs.x &gt; 5", ">high</text>", "stroke-dasharray"]
    {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    let none: Workflow = serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W"})).unwrap();
    assert!(Graph::of(&none).svg().ends_with("</svg>\n"));
}
