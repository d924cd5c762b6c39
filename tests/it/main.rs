//! The integration tests: the whole product and its real servers, in one binary so that it is linked once.

mod outgoing;
