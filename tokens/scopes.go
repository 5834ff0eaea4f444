package tokens

import "slices"

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
