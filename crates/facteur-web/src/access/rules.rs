//! The one table that says who may what. A route that is not in it lets nobody in.

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Permission {
    /// Any valid bearer: it tells nothing of anybody's.
    Any,
    /// To see what is the tenant's.
    Read,
    /// To send, and to stop what one sent.
    Send,
    /// To change how the tenant's messages are sent, and to see who did what.
    Admin,
    /// To change what belongs to no single tenant.
    Superadmin,
}

/// Method, route, and what it takes; in the order of the routes.
pub(crate) const RULES: &[(&str, &str, Permission)] = {
    use Permission::{Admin, Any, Read, Send, Superadmin};
    const _: [Permission; 2] = [Admin, Superadmin];
    &[
        ("GET", "/v1/whoami", Any),
        ("POST", "/v1/messages", Send),
        ("POST", "/v1/bulks", Send),
        ("GET", "/v1/bulks", Read),
        ("GET", "/v1/bulks/{id}", Read),
        ("PATCH", "/v1/bulks/{id}", Send),
        ("GET", "/v1/bulks/{id}/recipients", Read),
        ("GET", "/v1/bulks/{id}/events", Read),
        ("GET", "/v1/bulks/{id}/failed.csv", Read),
        ("POST", "/v1/bulks/{id}/pause", Send),
        ("POST", "/v1/bulks/{id}/resume", Send),
        ("POST", "/v1/bulks/{id}/cancel", Send),
        ("POST", "/v1/bulks/{id}/retry", Send),
    ]
};

/// What a route takes; `None` if it is not in the table.
pub(crate) fn needed(method: &str, route: &str) -> Option<Permission> {
    let route = route.trim_end_matches('/');
    RULES.iter().find(|(m, r, _)| *m == method && *r == route).map(|(.., needed)| *needed)
}
