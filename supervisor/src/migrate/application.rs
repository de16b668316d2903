//! What another server imports, as our `wsgi` names it.

use super::draft::{Draft, written};
use super::said::Said;

/// Writes the application that gunicorn would import: `module:name`, `module`, or `module:factory(…)`.
pub fn write(text: &str, said: &Said, draft: &mut Draft) {
    let path = "apps.NAME.wsgi";
    let (module, target) = text.split_once(':').unwrap_or((text, "application"));
    if draft.name.is_none() {
        draft.name = Some(super::app_name(module.split('.').next().unwrap_or(module)));
    }
    let Some((factory, arguments)) = target.split_once('(') else {
        return draft.put(path, written(&format!("{module}:{target}"), said.dollars), said);
    };
    draft.put(path, written(&format!("{module}:{factory}()"), said.dollars), said);
    if !arguments.trim_end_matches(')').trim().is_empty() {
        draft.open(
            said,
            &format!("factories are called without arguments here: write `application = {target}` into a module, and name that in `wsgi`"),
        );
    }
}
