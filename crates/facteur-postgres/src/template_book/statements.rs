//! The statements of the book of templates. Each change writes its audit record itself.

macro_rules! columns {
    () => {
        "t.id, t.tenant, t.name, t.language, t.channel, t.event, t.subject, t.category, t.version, t.is_active, \
         t.changed_by, t.created_at, t.updated_at"
    };
}

macro_rules! with_text {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            ", v.text FROM facteur.templates t CROSS JOIN LATERAL (SELECT text FROM facteur.template_versions \
             WHERE tenant = t.tenant AND name = t.name AND language = t.language AND version = t.version LIMIT 1) v "
        )
    };
}

/// The audit record of what a statement did to the rows of its part.
macro_rules! audit {
    ($action:literal, $part:literal, $request_id:literal) => {
        concat!(
            "INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) SELECT tenant, changed_by, ",
            $action,
            ", id::text, ",
            $request_id,
            ", jsonb_build_object('name', name, 'language', language, 'version', version) FROM ",
            $part
        )
    };
}

pub(super) const CREATE: &str = concat!(
    "WITH made AS (INSERT INTO facteur.templates AS t (tenant, name, language, version, category, channel, event, \
         subject, is_active, changed_by) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (tenant, name, language) DO NOTHING RETURNING ",
    columns!(),
    "), versioned AS (INSERT INTO facteur.template_versions (tenant, name, language, version, text, changed_by) \
         SELECT tenant, name, language, version, $10, changed_by FROM made), audited AS (",
    audit!("'template_created'", "made", "$11"),
    ") SELECT t.*, $10::text AS text FROM made t"
);

pub(super) const LIST: &str = concat!(
    with_text!(),
    "WHERE ($1::text IS NULL OR t.tenant = $1) AND ($2::text IS NULL OR t.name = $2) \
       AND ($3::text IS NULL OR t.event = $3) AND ($4::text IS NULL OR t.channel = $4) \
       AND ($5::timestamptz IS NULL OR (t.created_at, t.id) < ($5, $6)) \
     ORDER BY t.created_at DESC, t.id DESC LIMIT $7"
);

pub(super) const FIND: &str =
    concat!(with_text!(), "WHERE t.id = $1 AND ($2::text IS NULL OR t.tenant = $2)");

pub(super) const FIND_NAMED: &str =
    concat!(with_text!(), "WHERE t.tenant = $1 AND t.name = $2 AND t.language = $3");

pub(super) const OF_EVENT: &str =
    concat!(with_text!(), "WHERE t.tenant = $1 AND t.event = $2 ORDER BY t.created_at, t.id LIMIT $3");

pub(super) const OWN_NAMES: &str =
    "SELECT id, name, language FROM facteur.templates WHERE tenant = $1 AND name = ANY ($2::text[])";

pub(super) const VERSIONS: &str = "SELECT v.version, v.text, v.changed_by, v.created_at FROM facteur.templates t \
     JOIN facteur.template_versions v USING (tenant, name, language) WHERE t.id = $1 ORDER BY v.version DESC LIMIT $2";

pub(super) const LOCK: &str =
    "SELECT FROM facteur.templates WHERE id = $1 AND ($2::text IS NULL OR tenant = $2) FOR UPDATE";

/// The row is locked by the statement before: what is read here is what stands there. A new version only where the text
/// is another.
pub(super) const CHANGE: &str = concat!(
    "WITH was AS (",
    with_text!(),
    "WHERE t.id = $1), \
     moved AS (UPDATE facteur.templates t SET name = coalesce($2, t.name), language = coalesce($3, t.language), \
         category = coalesce($4, t.category), channel = CASE WHEN $5::bool THEN $6 ELSE t.channel END, \
         event = CASE WHEN $7::bool THEN $8 ELSE t.event END, \
         subject = CASE WHEN $9::bool THEN $10 ELSE t.subject END, is_active = coalesce($11, t.is_active), \
         version = t.version + (coalesce($12, was.text) <> was.text)::int4, \
         changed_by = $13, updated_at = clock_timestamp() \
         FROM was WHERE t.id = was.id RETURNING ",
    columns!(),
    "), versioned AS (INSERT INTO facteur.template_versions (tenant, name, language, version, text, changed_by) \
         SELECT m.tenant, m.name, m.language, m.version, $12, m.changed_by \
         FROM moved m JOIN was USING (id) WHERE m.version > was.version), audited AS (",
    audit!("'template_changed'", "moved", "$14"),
    ") SELECT t.*, coalesce($12, was.text) AS text FROM moved t JOIN was USING (id)"
);

pub(super) const DELETE: &str = concat!(
    "WITH gone AS (DELETE FROM facteur.templates t WHERE id = $1 AND ($2::text IS NULL OR tenant = $2) \
         RETURNING id, tenant, name, language, version, $3::text AS changed_by), audited AS (",
    audit!("'template_deleted'", "gone", "$4"),
    ") SELECT FROM gone"
);
