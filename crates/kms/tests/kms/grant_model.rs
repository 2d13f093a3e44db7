//! What grants allow, against a model that looks at each of them.

use claviger_api::kms::{CreateGrantRequest, GrantConstraints, GrantOperation};

use crate::grants::{DENIED, Pairs, THIRD, equals, grant, root, subset};
use crate::{Dice, OTHER, OWNER, World};

/// A constraint of the model: whether it is exact, and its pairs.
type Wanted = Option<(bool, Pairs)>;

fn meets(wanted: &Wanted, context: &Pairs) -> bool {
    match wanted {
        None => true,
        Some((true, pairs)) => pairs == context,
        Some((false, pairs)) => pairs.iter().all(|(name, value)| context.get(name) == Some(value)),
    }
}

/// Whether a child is as strict as its parent: every context that the child admits, the parent admits.
fn as_strict(parent: &Wanted, child: &Wanted) -> bool {
    match (parent, child) {
        (None, _) => true,
        (Some(_), None) | (Some((true, _)), Some((false, _))) => false,
        (parent, Some((_, pairs))) => meets(parent, pairs),
    }
}

fn some_pairs(dice: &Dice, least: usize, most: usize) -> Pairs {
    let count = least + dice.below(most - least + 1);
    let mut pairs = Pairs::new();
    while pairs.len() < count {
        pairs.insert(["a", "b", "c", "d", "e"][dice.below(5)].to_owned(), ["1", "2"][dice.below(2)].to_owned());
    }
    pairs
}

fn some_constraint(dice: &Dice) -> Wanted {
    match dice.below(5) {
        0 => None,
        1 | 2 => Some((true, some_pairs(dice, 1, 3))),
        _ => Some((false, some_pairs(dice, 1, 3))),
    }
}

fn constraints_of(wanted: &Wanted) -> Option<GrantConstraints> {
    let (exact, pairs) = wanted.as_ref()?;
    if *exact { equals(pairs) } else { subset(pairs) }
}

fn some_operations(dice: &Dice) -> Vec<GrantOperation> {
    let all =
        [GrantOperation::Encrypt, GrantOperation::Decrypt, GrantOperation::CreateGrant, GrantOperation::DescribeKey];
    let mut some: Vec<_> = all.into_iter().filter(|_| dice.below(3) > 0).collect();
    if some.is_empty() {
        some.push(GrantOperation::Encrypt);
    }
    some
}

/// Many small sets of grants against a model that looks at each grant.
#[tokio::test]
async fn what_grants_allow_is_what_a_walk_over_them_finds() {
    let (_, world) = World::new().await;
    let dice = Dice::new(7);
    let (mut allowed, mut denied, mut delegated, mut refused) = (0, 0, 0, 0);
    for _ in 0..40 {
        let key = world.create().await;
        let mut model = Vec::new();
        for _ in 0..dice.below(9) {
            let (wanted, operations) = (some_constraint(&dice), some_operations(&dice));
            let constraints = constraints_of(&wanted);
            let id = world.grant(CreateGrantRequest { constraints, ..grant(&key, &root(OTHER), &operations) }).await;
            model.push((id, wanted, operations));
        }
        if !model.is_empty() && dice.below(2) == 0 {
            let (id, ..) = model.swap_remove(dice.below(model.len()));
            world.revoke_as(OWNER, &key, &id).await.unwrap();
        }
        for _ in 0..12 {
            let context = some_pairs(&dice, 0, 5);
            let found = model.iter().any(|(_, wanted, operations)| {
                operations.contains(&GrantOperation::Encrypt) && meets(wanted, &context)
            });
            assert_eq!(world.encrypts(OTHER, &key, &context).await, found, "{context:?} by {model:?}");
            *if found { &mut allowed } else { &mut denied } += 1;
            let (child, operations) = (some_constraint(&dice), some_operations(&dice));
            let found = model.iter().any(|(_, parent, held)| {
                held.contains(&GrantOperation::CreateGrant)
                    && operations.iter().all(|operation| held.contains(operation))
                    && as_strict(parent, &child)
            });
            let constraints = constraints_of(&child);
            let request = CreateGrantRequest { constraints, ..grant(&key, &root(THIRD), &operations) };
            let made = world.grant_as(OTHER, request).await;
            assert_eq!(made.as_ref().map(drop), if found { Ok(()) } else { Err(&DENIED) }, "{child:?} by {model:?}");
            *if found { &mut delegated } else { &mut refused } += 1;
        }
    }
    assert!(allowed > 80 && denied > 80 && delegated > 80 && refused > 80, "{allowed} {denied} {delegated} {refused}");
}
