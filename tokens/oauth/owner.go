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

// tokenOwner is [Provider.WhoIs].
func tokenOwner(ctx context.Context, p *Provider, t *Token) (address string, err error) {
	if t.Owner != "" {
		return t.Owner, nil
	}
	claimed := jwtOwner(t.Access)
	if p.UserInfoURL != "" {
		if address, err = requestUserInfo(ctx, p, t.Access); err == nil {
			return address, nil
		}
	}
	switch {
	case claimed != "":
		return claimed, nil
	case err != nil:
		return "", fmt.Errorf("looking up the owner of the token: %w", err)
	}
	return "", fmt.Errorf("the provider %s does not say who owns its tokens: set userinfo_url in [provider.%s] if it has a userinfo endpoint", p.Name, p.Name)
}

// requestUserInfo calls [Provider.UserInfoURL].
func requestUserInfo(ctx context.Context, p *Provider, access secret.String) (string, error) {
	c := call{provider: p, endpoint: "the userinfo endpoint", key: "userinfo_url", url: p.UserInfoURL, bearer: access}
	r, err := c.send(ctx)
	if err != nil {
		return "", err
	}
	if r.Status == http.StatusOK {
		if address := ownerOf(r.Body); address != "" {
			return address, nil
		}
		return "", &EndpointError{Kind: ErrUnavailable, reason: fmt.Sprintf("%s at %s names no address", c.endpoint, r.host)}
	}
	e := &EndpointError{Kind: ErrUnavailable, reason: "answered " + statusText(r.Status)}
	var f fields
	if json.Unmarshal(r.Body, &f) == nil && f.text("error") != "" {
		// Google: the Gmail API is not enabled in the client's project.
		e.reason += " " + printable.Quote(secret.Scrub(f.text("error"), c.told()...))
	}
	return "", e.at(c, r)
}

// idTokenOwner returns who signed in by the ID token in a response of the token
// endpoint. TLS to the endpoint stands in for its signature (OpenID Connect Core
// §3.1.3.7, 6).
func idTokenOwner(body []byte) string {
	var a struct {
		IDToken secret.String `json:"id_token"`
	}
	if json.Unmarshal(body, &a) != nil {
		return ""
	}
	return jwtOwner(a.IDToken)
}

// jwtOwner returns whom a token names if it is a JWT, as Microsoft's are for work or
// school accounts.
func jwtOwner(token secret.String) string { return ownerOf(jwtClaims(token)) }

// jwtClaims returns the claims of a JWT as JSON, unverified; nil if it is not a JWT.
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

// ownerOf finds the address in an object, by the names that Gmail, OpenID Connect,
// Microsoft's tokens and Microsoft Graph have for it. It skips values that are not
// addresses: Microsoft's upn may be a user name.
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
