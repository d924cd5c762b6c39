use std::process::ExitCode;

use countersign::agents::pdf;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(pdf::CHILD_ARGUMENT) {
        return pdf::child_main();
    }
    ExitCode::SUCCESS
}
