//! Targets to GHL's ids: through the links, through what another effect made, through the mirror.

use super::perform::Performer;
use crate::domain::{GhlId, ObjectKind, RankrId, RemoteEffect, RemoteOp, Target};
use crate::store::{OpenEffect, Store, StoreError};

/// An effect's targets.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub(super) contact: Option<GhlId>,
    pub(super) object: Option<GhlId>,
}

/// Why they are not known.
pub(super) enum Unresolved {
    /// They never will be: why.
    Never(String),
    /// What was to make them was tried long enough: so was this.
    Dead(String),
    /// What made them is unclear; a person settles the effect of that key first.
    Held(String),
    /// What makes them was reopened and comes first.
    Later,
}

/// Rankr's id of the contact on which an effect was planned, where there is one and it is linked.
pub(super) async fn contact_of(store: &Store, open: &OpenEffect) -> Result<Option<RankrId>, StoreError> {
    let Some(contact) = &open.contact else { return Ok(None) };
    store.rankr_id_of(&open.tenant, &open.connection, ObjectKind::Contact, contact).await
}

impl Performer {
    /// The effect's targets, as GHL's ids.
    pub(super) async fn targets(
        &self,
        open: &OpenEffect,
        effect: &RemoteEffect,
    ) -> Result<Result<Targets, Unresolved>, StoreError> {
        let kind = effect.op.kind();
        let mut targets = Targets::default();
        if let Some(target) = &effect.object {
            match self.target(open, target, kind).await? {
                Ok((id, contact)) => {
                    targets.object = Some(id);
                    targets.contact = contact;
                }
                Err(unresolved) => return Ok(Err(unresolved)),
            }
        }
        if let Some(target) = &effect.contact {
            match self.target(open, target, ObjectKind::Contact).await? {
                Ok((id, _)) => targets.contact = Some(id),
                Err(unresolved) => return Ok(Err(unresolved)),
            }
        }
        if let (Some(object), None) = (&targets.object, &targets.contact) {
            let known = self.parts.store.mirrored(&open.tenant, &open.connection, kind, object).await?;
            targets.contact = known.and_then(|(contact, _)| contact);
        }
        if targets.contact.is_none()
            && !matches!(effect.op, RemoteOp::CreateContact | RemoteOp::UpsertContact)
        {
            targets.contact.clone_from(&open.contact);
        }
        Ok(Ok(targets))
    }

    /// One target's id, and the contact that came with it.
    async fn target(
        &self,
        open: &OpenEffect,
        target: &Target,
        kind: ObjectKind,
    ) -> Result<Result<(GhlId, Option<GhlId>), Unresolved>, StoreError> {
        let never = |why: String| Ok(Err(Unresolved::Never(why)));
        match target {
            Target::Ghl(id) => Ok(Ok((id.clone(), None))),
            Target::Rankr(id) => {
                let linked = self.parts.store.linked(&open.tenant, kind, id).await?;
                match linked.into_iter().find(|(through, _)| *through == open.connection) {
                    Some((_, id)) => Ok(Ok((id, None))),
                    // An effect that nobody knows the end of may have made it.
                    None => match self.parts.store.unsettled_maker(&open.tenant, kind, id).await? {
                        Some(effect_key) => Ok(Err(Unresolved::Held(effect_key))),
                        None => never(format!(
                            "the {} {id} of Rankr's is linked with nothing in GHL",
                            kind.as_str()
                        )),
                    },
                }
            }
            Target::MadeBy(effect_key) => {
                let Some(made) = self.parts.store.effect_by_key(effect_key).await? else {
                    return never("what it names was never planned".to_owned());
                };
                match (made.state.as_str(), made.ghl_id) {
                    ("done", Some(id)) => Ok(Ok((id, made.contact))),
                    ("unclear" | "held", _) => Ok(Err(Unresolved::Held(effect_key.clone()))),
                    ("waiting" | "sending", _) => Ok(Err(Unresolved::Later)),
                    ("dead", _) => Ok(Err(Unresolved::Dead("what it names could not be made".to_owned()))),
                    (state, _) => never(format!("what it names was not made: it is {state}")),
                }
            }
        }
    }
}
