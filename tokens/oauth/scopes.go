package oauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MissingScopes are those that are asked for and are not among the granted,
// but for what is only about signing in.
func (p *Provider) MissingScopes(granted []string) (missing []string) {
	for _, asked := range p.Scopes {
		if IsSignInScope(asked) {
			continue
		}
		if !slices.ContainsFunc(granted, func(got string) bool { return ScopeName(got) == ScopeName(asked) }) {
			missing = append(missing, asked)
		}
	}
	return missing
}

// scopeName is what tells one scope from another: Microsoft answers with other
// hosts and capitals than it was asked with.
func ScopeName(scope string) string {
	scope = strings.TrimRight(strings.ToLower(scope), "/")
	return scope[strings.LastIndex(scope, "/")+1:]
}

// isSignInScope tells the scopes that are about signing in and that answers
// leave out.
func IsSignInScope(scope string) bool {
	switch ScopeName(scope) {
	case "offline_access", "openid", "email", "profile":
		return true
	}
	return false
}

// CheckGrant refuses a grant that would not last or does not open the mail.
func (p *Provider) CheckGrant(t *Token) error {
	person := p.Flow.NeedsPerson()
	if t == nil && !person {
		return nil
	}
	if t == nil || t.Access.Empty() {
		return errors.New("the provider gave no access token")
	}
	if t.Refresh.Empty() && person {
		return errors.New("the provider gave no refresh token, so the grant would end within the hour: " +
			"ask for one (auth_params access_type=offline and prompt=consent at Google, the scope offline_access elsewhere)")
	}
	if len(t.Scopes) == 0 || !person {
		return nil // what was asked, then: RFC 6749 §5.1; an application's are not the owner's to grant
	}
	for _, asked := range p.Scopes {
		if IsSignInScope(asked) {
			continue
		}
		if !slices.ContainsFunc(t.Scopes, func(got string) bool { return ScopeName(got) == ScopeName(asked) }) {
			return fmt.Errorf("the owner did not grant %s: open the consent page again and tick its box (at Google: \"Read, compose, send, and permanently delete all your email\")", asked)
		}
	}
	return nil
}
