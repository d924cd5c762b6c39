//! The scenes: who mails what, what must come of it, and what is told.

use anyhow::Context;
use chrono::TimeDelta;
use regex::Regex;

use super::stage::Stage;
use super::telling::{chapter, say};
use crate::domain::message::Message;
use crate::domain::run::RunStatus;
use crate::store::runs::RunRow;
use crate::store::{messages, runs, steps, waits};

const OLIVIA: &str = "olivia@acme.example";
const FRANK: &str = "frank@acme.example";
const SUNDA: &str = "accounts@sunda.example";

const INVOICE_WITH_PO: &str = include_str!("../../config/demo/mail/01-invoice-with-po.eml");
const APPROVAL: &str = include_str!("../../config/demo/mail/01-approval.eml");
const INVOICE_WITHOUT_PO: &str = include_str!("../../config/demo/mail/02-invoice-without-po.eml");
const REPLY_WITH_PO: &str = include_str!("../../config/demo/mail/02-reply-with-po.eml");
const SECOND_APPROVAL: &str = include_str!("../../config/demo/mail/02-approval.eml");
const LARGE_INVOICE: &str = include_str!("../../config/demo/mail/03-invoice-large.eml");
const NEWSLETTER: &str = include_str!("../../config/demo/mail/04-newsletter.eml");
const UNKNOWN_SENDER: &str = include_str!("../../config/demo/mail/05-unknown-sender.eml");
const VACATION: &str = include_str!("../../config/demo/mail/06-vacation.eml");

pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    reply_is_a_button(stage).await?;
    the_missing_order(stage).await?;
    silence(stage).await?;
    the_rest_of_the_mail(stage).await
}

async fn reply_is_a_button(stage: &mut Stage) -> anyhow::Result<()> {
    chapter("An invoice with its purchase order, approved by a plain reply");
    say(stage, "Nordwind mails invoice 4711 with its purchase order.");
    stage.receive(INVOICE_WITH_PO).await?;
    let run = run(stage, "AP-000001").await?;
    tell_messages(stage).await?;
    tell_steps(stage, &run).await?;
    stage.must_be("AP-000001 asks for approval", RunStatus::Waiting, run.status);
    let asked = stage.latest_mail_to(OLIVIA)?;
    say(stage, &format!("Olivia gets \"{}\", with both documents attached.", asked.subject));

    stage.pass(TimeDelta::minutes(80)).await?;
    say(stage, "Olivia answers the mail: \"Approved, thanks\".");
    stage.receive(&answer(APPROVAL, &asked)?).await?;
    tell_messages(stage).await?;
    finish(stage, "AP-000001").await
}

async fn the_missing_order(stage: &mut Stage) -> anyhow::Result<()> {
    chapter("An invoice without its purchase order: the supplier is asked, and answers");
    say(stage, "Sunda Tools mails invoice 2209, and forgets the order.");
    stage.receive(INVOICE_WITHOUT_PO).await?;
    tell_messages(stage).await?;
    let asked = stage.latest_mail_to(SUNDA)?;
    say(stage, &format!("Sunda gets \"{}\".", asked.subject));
    let waiting = run(stage, "AP-000002").await?;
    stage.must_be("AP-000002 waits for the supplier", RunStatus::Waiting, waiting.status);

    stage.pass(TimeDelta::days(1)).await?;
    say(stage, "Sunda answers with the order attached; the run goes on.");
    stage.receive(&answer(REPLY_WITH_PO, &asked)?).await?;
    tell_messages(stage).await?;
    let run = run(stage, "AP-000002").await?;
    tell_steps(stage, &run).await?;
    let asked = stage.latest_mail_to(OLIVIA)?;
    stage.pass(TimeDelta::minutes(30)).await?;
    say(stage, "Olivia approves this one too.");
    stage.receive(&answer(SECOND_APPROVAL, &asked)?).await?;
    tell_messages(stage).await?;
    finish(stage, "AP-000002").await
}

async fn silence(stage: &mut Stage) -> anyhow::Result<()> {
    chapter("Nobody answers: a reminder, the escalation, and a decision on the link page");
    say(stage, "Nordwind mails invoice 4790, a large one.");
    stage.receive(LARGE_INVOICE).await?;
    tell_messages(stage).await?;
    let asked = stage.latest_mail_to(OLIVIA)?;
    say(stage, "Olivia is away. Her mail program answers by itself.");
    stage.receive(&answer(VACATION, &asked)?).await?;
    tell_messages(stage).await?;
    stage.must_be("a vacation reply decides nothing", RunStatus::Waiting, run(stage, "AP-000003").await?.status);

    pass_to_next_rung(stage).await?;
    let reminder = stage.latest_mail_to(OLIVIA)?;
    say(stage, &format!("Silence for two days. Olivia gets \"{}\".", reminder.subject));
    stage.must_be("the reminder is a new mail", true, reminder.message_id != asked.message_id);
    pass_to_next_rung(stage).await?;
    let escalation = stage.latest_mail_to(FRANK)?;
    say(stage, &format!("Still silence. Frank gets \"{}\" instead.", escalation.subject));

    let link = link_in(&escalation)?;
    let client = reqwest::Client::new();
    let page = client.get(&link).send().await?.error_for_status()?.text().await?;
    say(stage, "Frank opens the link (and so does every scanner on the way): looking changes nothing.");
    stage.must_be("the page shows the invoice", true, page.contains("18,400.00 EUR"));
    stage.must_be("looking decides nothing", RunStatus::Waiting, run(stage, "AP-000003").await?.status);
    let old = client.get(link_in(&asked)?).send().await?;
    stage.must_be("Olivia's link is dead after the escalation", 410, old.status().as_u16());
    let form = [("choice", "approve"), ("comment", "Checked with purchasing.")];
    let receipt = client.post(&link).form(&form).send().await?.error_for_status()?.text().await?;
    say(stage, "Frank presses Approve.");
    stage.must_be("the receipt names who decided", true, receipt.contains("Frank Feld"));
    stage.app.settle().await?;
    finish(stage, "AP-000003").await
}

async fn the_rest_of_the_mail(stage: &mut Stage) -> anyhow::Result<()> {
    chapter("What else comes in");
    let before = stage.mails_sent();
    for (who, raw) in [("A newsletter arrives.", NEWSLETTER), ("Somebody unknown mails an invoice.", UNKNOWN_SENDER)] {
        say(stage, who);
        stage.receive(raw).await?;
        tell_messages(stage).await?;
    }
    stage.must_be("nobody is bothered with it", before, stage.mails_sent());
    Ok(())
}

/// A canned answer, addressed as a mail program addresses a reply.
fn answer(canned: &str, to: &Message) -> anyhow::Result<String> {
    let notice = to.message_id.as_deref().context("our mail has no Message-ID")?;
    let reply_to = to.reply_to.first().context("our mail has no Reply-To")?;
    Ok(canned
        .replace("{{notice}}", notice)
        .replace("{{reply_to}}", &reply_to.address)
        .replace("{{subject}}", &to.subject))
}

fn link_in(mail: &Message) -> anyhow::Result<String> {
    let link = Regex::new(r"http://\S+/l/[A-Za-z0-9_-]+")?;
    Ok(link.find(&mail.text).context("our mail has no link")?.as_str().to_owned())
}

async fn pass_to_next_rung(stage: &Stage) -> anyhow::Result<()> {
    let mut tx = stage.app.engine.store.read().await?;
    let due = waits::next_due(&mut tx).await?.context("nothing is due")?;
    drop(tx);
    stage.pass(due - stage.now()).await
}

async fn run(stage: &Stage, name: &str) -> anyhow::Result<RunRow> {
    let mut tx = stage.app.engine.store.read().await?;
    Ok(runs::by_name(&mut tx, name).await?)
}

async fn finish(stage: &mut Stage, name: &str) -> anyhow::Result<()> {
    let run = run(stage, name).await?;
    stage.must_be(&format!("{name} ends"), RunStatus::Completed, run.status);
    let mut tx = stage.app.engine.store.read().await?;
    let steps = steps::of_run(&mut tx, run.id, run.generation).await?;
    drop(tx);
    let posted = steps.iter().find(|step| step.name == "post").and_then(|step| step.output.as_ref());
    let number = posted.and_then(|output| output.0["number"].as_str()).unwrap_or("nowhere");
    say(stage, &format!("{name} is {}; posted to the ERP as {number}.", run.status));
    stage.must_be(&format!("{name} is posted"), true, number != "nowhere");
    Ok(())
}

async fn tell_messages(stage: &mut Stage) -> anyhow::Result<()> {
    let mut tx = stage.app.engine.store.read().await?;
    for message in messages::latest(&mut tx, 50).await? {
        if !stage.told.contains(&message.id) {
            stage.told.push(message.id);
            let (verdict, reason) = (message.verdict.unwrap_or_default(), message.reason.unwrap_or_default());
            say(stage, &format!("  -> {verdict}: {reason}"));
        }
    }
    Ok(())
}

async fn tell_steps(stage: &Stage, run: &RunRow) -> anyhow::Result<()> {
    let mut tx = stage.app.engine.store.read().await?;
    for step in steps::of_run(&mut tx, run.id, run.generation).await? {
        let Some(output) = step.output else { continue };
        let invoice = &output.0["invoice"];
        if invoice.is_object() {
            let text = |key: &str| invoice[key].as_str().unwrap_or("none").to_owned();
            let (number, supplier, amount) = (text("number"), text("supplier"), text("amount"));
            let line = format!("  read: invoice {number} of {supplier} over {amount}, order {}", text("po_number"));
            say(stage, &line);
        }
        if let Some(matched) = output.0["matched"].as_bool() {
            let difference = output.0["difference"].as_str().unwrap_or("?");
            let verdict = if matched { "matches" } else { "does not match" };
            say(stage, &format!("  checked: the invoice {verdict} its order (difference {difference})"));
        }
    }
    Ok(())
}
