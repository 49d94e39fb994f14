//! Who asks.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use facteur_core::ids::Tenant;
use facteur_postgres::acts::By;
use facteur_postgres::api_keys::FoundKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::rules::Permission;
use crate::error::ApiError;
use crate::term::Term;

/// What a bearer may do; each role may what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Looks.
    Viewer,
    /// Sends.
    Sender,
    /// Administers its tenant.
    Admin,
    /// Administers all tenants.
    Superadmin,
}

impl Role {
    /// Every role, the weakest first.
    pub(crate) const ALL: [Self; 4] = [Self::Viewer, Self::Sender, Self::Admin, Self::Superadmin];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Sender => "sender",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    pub(crate) fn may(self, needed: Permission) -> bool {
        match needed {
            Permission::Any | Permission::Read => true,
            Permission::Send => self >= Self::Sender,
            Permission::Admin => self >= Self::Admin,
            Permission::Superadmin => self == Self::Superadmin,
        }
    }
}

/// Who asks, as every route sees it.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// For the audit log: `key:` and the key's prefix, or `jwt:` and its subject.
    pub(crate) actor: String,
    pub(crate) role: Role,
    /// The request in which it asks, for the audit log.
    pub(crate) request_id: Option<String>,
    /// The time that its request has; `None` where the route has a limit of its own.
    pub(crate) term: Option<Arc<Term>>,
    /// Whose data it sees; `None` for all tenants.
    tenant: Option<Tenant>,
    /// How long it may go on, where a request goes on for long.
    pub(super) holds: Holds,
}

/// How long somebody is who it said it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Holds {
    /// Whoever reaches the database anyhow.
    Always,
    /// As long as this key is valid.
    WithKey(Uuid),
    /// As long as a token is: until so many seconds after 1970.
    Until(f64),
}

impl Principal {
    /// `None` if its role and its tenant contradict each other: a superadmin belongs to no tenant, and nobody else to
    /// all of them.
    pub(super) fn new(actor: String, role: Role, tenant: Option<Tenant>, holds: Holds) -> Option<Self> {
        let agrees = tenant.is_none() == (role == Role::Superadmin);
        agrees.then_some(Self { actor, role, request_id: None, term: None, tenant, holds })
    }

    /// The bearer of a key; `None` if a newer release wrote what this one can't read.
    pub(super) fn of_key(key: FoundKey) -> Option<Self> {
        let tenant = key.tenant.as_deref().map(Tenant::parse).transpose().ok()?;
        let holds = Holds::WithKey(key.id);
        Self::new(format!("key:{}", key.prefix), Role::from_name(&key.role)?, tenant, holds)
    }

    /// Somebody at the command line, who reaches the database anyhow.
    pub(crate) fn command(actor: String) -> Self {
        let (role, holds) = (Role::Superadmin, Holds::Always);
        Self { actor, role, request_id: None, term: None, tenant: None, holds }
    }

    /// Who does something, and by which request, for the audit log.
    pub(crate) fn by(&self) -> By<'_> {
        By { actor: &self.actor, request_id: self.request_id.as_deref() }
    }

    /// The tenant that a list is limited to; `None` for all.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.tenant.as_ref().map(Tenant::as_str)
    }

    /// Whether it may see what is this tenant's.
    pub(crate) fn sees(&self, tenant: &str) -> bool {
        self.scope().is_none_or(|own| own == tenant)
    }

    /// For which tenant something is done: the one that was named, else its own.
    ///
    /// # Errors
    /// If the name is no slug, or another tenant's.
    pub(crate) fn tenant_for(&self, asked: Option<&str>) -> Result<Tenant, ApiError> {
        let asked = asked
            .map(Tenant::parse)
            .transpose()
            .map_err(|sentence| ApiError::invalid("invalid_field", sentence).field("tenant"))?;
        match (asked, &self.tenant) {
            (None, own) => Ok(own.clone().unwrap_or_else(Tenant::default_tenant)),
            (Some(asked), None) => Ok(asked),
            (Some(asked), Some(own)) if asked == *own => Ok(asked),
            (Some(_), Some(_)) => {
                let sentence = "the key belongs to another tenant";
                Err(ApiError::new(StatusCode::FORBIDDEN, "tenant_foreign", sentence).field("tenant"))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Set by `authorise`, behind which every route stands that asks for it.
        parts.extensions.get::<Self>().cloned().ok_or(super::UNAUTHENTICATED)
    }
}
