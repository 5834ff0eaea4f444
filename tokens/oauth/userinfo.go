package oauth

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/secret"
)

// WhoIs tells whose an access token is, to find the words for a refusal: people
// have more than one account, and sign in with the wrong one. What it says has
// been proved to nobody, so no right may hang on it.
func (p *Provider) WhoIs(ctx context.Context, t *Token) (address string, err error) {
	if t.Owner != "" {
		return t.Owner, nil
	}
	claimed := jwtOwner(t.Access)
	if p.UserInfoURL != "" {
		if address, err = p.askWhoIs(ctx, t.Access); err == nil {
			return address, nil
		}
	}
	switch {
	case claimed != "":
		return claimed, nil
	case err != nil:
		return "", fmt.Errorf("asking whose token it is: %w", err)
	}
	return "", fmt.Errorf("the provider %s does not tell whose its tokens are: set userinfo_url in [provider.%s] if it has such a place", p.Name, p.Name)
}

// askWhoIs asks [Provider.UserInfoURL].
func (p *Provider) askWhoIs(ctx context.Context, access secret.String) (string, error) {
	c := call{what: "the userinfo endpoint", key: "userinfo_url", address: p.UserInfoURL, bearer: access}
	r, err := p.send(ctx, c)
	if err != nil {
		return "", err
	}
	if r.status == http.StatusOK {
		if address := ownerOf(r.body); address != "" {
			return address, nil
		}
		return "", &EndpointError{Kind: ErrUnavailable, reason: fmt.Sprintf("%s at %s names no address", c.what, r.host)}
	}
	e := &EndpointError{Kind: ErrUnavailable, reason: "answered " + statusText(r.status)}
	var a answer
	if json.Unmarshal(r.body, &a) == nil && a.text("error") != "" {
		// Google: the Gmail API is not switched on in the client's project.
		e.reason += " " + printable.Quote(secret.Scrub(a.text("error"), p.told(c)...))
	}
	return "", e.at(c, r)
}

// idTokenOwner is who signed in, by the ID token in an answer of the token
// endpoint. It came from there over TLS, which is as good as its signature
// (OpenID Connect Core §3.1.3.7, 6).
func idTokenOwner(answer []byte) string {
	var a struct {
		IDToken secret.String `json:"id_token"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return ""
	}
	return jwtOwner(a.IDToken)
}

// jwtOwner is whom a token names, if it is a JWT: Microsoft's are, for accounts
// of work or school.
func jwtOwner(token secret.String) string { return ownerOf(jwtClaims(token)) }

// jwtClaims are the claims of a JWT as JSON, believed or not; nil if it is none.
func jwtClaims(token secret.String) []byte {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		return nil
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil
	}
	return claims
}

// ownerOf finds the address in an object, by the names that Gmail, OpenID
// Connect, Microsoft's tokens and Microsoft Graph have for it. What is no
// address (Microsoft's upn may be a bare name) tells nothing.
func ownerOf(object []byte) string {
	var o struct {
		EmailAddress, Email, Mail, UPN any
		PreferredUsername              any `json:"preferred_username"`
		UniqueName                     any `json:"unique_name"`
		UserPrincipalName              any `json:"userPrincipalName"`
	}
	if json.Unmarshal(object, &o) != nil {
		return ""
	}
	owner := ""
	for _, name := range []any{o.EmailAddress, o.Email, o.PreferredUsername, o.UPN, o.UniqueName, o.Mail, o.UserPrincipalName} {
		text, _ := name.(string)
		if address.Check(strings.ToLower(text)) == nil {
			owner = cmp.Or(owner, strings.ToLower(text))
		}
	}
	return owner
}
