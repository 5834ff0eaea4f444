package tokens

import (
	"slices"
	"strings"
)

// MissingScopes are those that are asked for and are not among the granted,
// but for what is only about signing in.
func (p *Provider) MissingScopes(granted []string) (missing []string) {
	for _, asked := range p.Scopes {
		if isSignInScope(asked) {
			continue
		}
		if !slices.ContainsFunc(granted, func(got string) bool { return scopeName(got) == scopeName(asked) }) {
			missing = append(missing, asked)
		}
	}
	return missing
}

// scopeName is what tells one scope from another: Microsoft answers with other
// hosts and capitals than it was asked with.
func scopeName(scope string) string {
	scope = strings.TrimRight(strings.ToLower(scope), "/")
	return scope[strings.LastIndex(scope, "/")+1:]
}

// isSignInScope tells the scopes that are about signing in and that answers
// leave out.
func isSignInScope(scope string) bool {
	switch scopeName(scope) {
	case "offline_access", "openid", "email", "profile":
		return true
	}
	return false
}
