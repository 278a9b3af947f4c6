//! What can be said about an expression before it runs.

use ::jmespath::ast::Ast;

use super::functions;
use super::{ExpressionError, MAX_INDEX};

/// Refuses what could only fail, or never end, at run time. Recurses as deep as the tree is, which
/// `scan` has bounded.
pub(super) fn check(node: &Ast) -> Result<(), ExpressionError> {
    match node {
        Ast::Identity { .. } | Ast::Field { .. } | Ast::Literal { .. } => Ok(()),
        Ast::Index { idx, .. } => check_numbers(&[Some(*idx)]),
        Ast::Slice { step: 0, .. } => Err(ExpressionError::Index),
        Ast::Slice { start, stop, step, .. } => check_numbers(&[*start, *stop, Some(*step)]),
        Ast::Expref { .. } => Err(ExpressionError::Reference),
        Ast::Function { name, args, .. } => check_call(name, args),
        Ast::Not { node, .. } | Ast::Flatten { node, .. } | Ast::ObjectValues { node, .. } => {
            check(node)
        }
        Ast::Comparison { lhs, rhs, .. }
        | Ast::Subexpr { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. }
        | Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Condition { predicate: lhs, then: rhs, .. } => {
            check(lhs)?;
            check(rhs)
        }
        Ast::MultiList { elements, .. } => elements.iter().try_for_each(check),
        Ast::MultiHash { elements, .. } => elements.iter().try_for_each(|pair| check(&pair.value)),
    }
}

/// The crate adds steps to indices in `i32`; numbers this small cannot overflow it.
fn check_numbers(numbers: &[Option<i32>]) -> Result<(), ExpressionError> {
    let allowed = |number: &i32| (-MAX_INDEX..=MAX_INDEX).contains(number);
    if numbers.iter().flatten().all(allowed) { Ok(()) } else { Err(ExpressionError::Index) }
}

fn check_call(name: &str, args: &[Ast]) -> Result<(), ExpressionError> {
    let Some(signature) = functions::signature(name) else {
        return Err(ExpressionError::UnknownFunction(name.to_owned()));
    };
    if !signature.takes(args.len()) {
        let expected = signature.expected().to_owned();
        return Err(ExpressionError::Arguments { name: name.to_owned(), expected });
    }
    for (position, arg) in args.iter().enumerate() {
        match arg {
            Ast::Expref { ast, .. } if signature.reference == Some(position) => check(ast)?,
            _ if signature.reference == Some(position) => return Err(ExpressionError::Reference),
            value => check(value)?,
        }
    }
    Ok(())
}
