package tokens

import "authferry/internal/secret"

// HashChosen is what to keep of a password that a person chose: argon2id, in PHC
// string form. It takes tens of megabytes and some milliseconds.
func HashChosen(password secret.String) secret.String { return hashArgon2(password) }

// MatchChosen verifies a password against what was kept of it, at the same cost;
// bound how many are verified at a time. An error is a fault of what was kept,
// not a wrong password.
func MatchChosen(kept, given secret.String) (bool, error) { return matchArgon2(kept, given) }
