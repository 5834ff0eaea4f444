package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// JWTs are signed without a JOSE library: RS256 and PS256 are a page on top of
// crypto/rsa, and most of such a library is for verifying.

const (
	// assertionBackdate allows for a clock that is fast: Google refuses an assertion
	// from the future.
	assertionBackdate = 2 * time.Minute
	// assertionLife is the longest that Google accepts, counted from iat, so that a
	// slow clock may be wrong by most of an hour.
	assertionLife = time.Hour
	// clientAssertionLife is what Microsoft recommends.
	clientAssertionLife = 10 * time.Minute
)

// signJWT returns a JWT (RFC 7519) in compact form, signed as its header says: RS256
// or PS256 (RFC 7518 §3.3, §3.5). It is a secret: while it is valid it gives the same
// access as the key.
func signJWT(key crypto.Signer, header map[string]string, claims map[string]any) (secret.String, error) {
	header["typ"] = "JWT"
	var options crypto.SignerOpts = crypto.SHA256
	if header["alg"] == "PS256" {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := key.Sign(rand.Reader, sum[:], options)
	if err != nil {
		return "", err
	}
	return secret.String(signed + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}

// clientAssertion proves the client by its certificate (RFC 7523 §3), in the form
// that Microsoft documents:
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func clientAssertion(p *Provider, now time.Time) (secret.String, error) {
	c := p.Certificate
	if !c.Expires.IsZero() && now.After(c.Expires) {
		return "", &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the certificate of [provider.%s] expired on %s; "+
			"make a new one, add it to the client in the provider's console, and name it in certificate_file", p.Name, c.Expires.Format(time.DateOnly))}
	}
	begins := now.Add(-assertionBackdate)
	signed, err := signJWT(c.Key, map[string]string{
		"alg":      "PS256",
		"x5t":      base64.RawURLEncoding.EncodeToString(c.SHA1[:]),
		"x5t#S256": base64.RawURLEncoding.EncodeToString(c.Thumbprint[:]),
	}, map[string]any{
		"iss": p.ClientID, "sub": p.ClientID, "aud": p.TokenURL, "jti": secret.RandomHex(16),
		"iat": begins.Unix(), "nbf": begins.Unix(), "exp": now.Add(clientAssertionLife).Unix(),
	})
	if err != nil {
		return "", &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the key of certificate_key_file in [provider.%s] cannot sign: %s; make a new one", p.Name, printable.Quote(err.Error()))}
	}
	return signed, nil
}

// assertMailbox is [FlowServiceAccount]: the service account asserts that it may act
// for a mailbox, which is true if an administrator of the domain has delegated the
// scopes to it. There is no grant to keep: the next token is requested the same way.
// https://developers.google.com/identity/protocols/oauth2/service-account
func assertMailbox(ctx context.Context, p *Provider, mailbox string, now time.Time) (*Token, error) {
	s := p.ServiceAccount
	if s == nil {
		return nil, missingSetting(p, "service account", "service_account_file")
	}
	issued := now.Add(-assertionBackdate)
	header := map[string]string{"alg": "RS256"}
	if s.KeyID != "" {
		header["kid"] = s.KeyID
	}
	assertion, err := signJWT(s.Key, header, map[string]any{
		"iss": s.Email, "sub": mailbox, "scope": strings.Join(p.Scopes, " "), "aud": p.TokenURL,
		"iat": issued.Unix(), "exp": issued.Add(assertionLife).Unix(),
	})
	if err != nil {
		return nil, &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the key of %s cannot sign: %s; make a new one", printable.Quote(s.Email), printable.Quote(err.Error()))}
	}
	t, err := requestTokenAs(ctx, p, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion.Reveal()},
	}, now)
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		if fix := delegationFix(p, e, mailbox); fix != "" {
			// The code's own fix is for clients that a person signs in to.
			e.reason = strings.TrimSuffix(e.reason, "; "+codeFixes[e.code]) + "; " + fix
		}
	}
	return t, err
}

// delegationFix returns what to do about a refused assertion. Most of Google's
// reasons differ in the description alone.
func delegationFix(p *Provider, e *EndpointError, mailbox string) string {
	s, words := p.ServiceAccount, strings.ToLower(e.reason)
	switch {
	case e.code == "unauthorized_client" || e.code == "access_denied":
		return fmt.Sprintf("an administrator of the domain must delegate %s to the client id %s (admin.google.com: Security, API controls, Domain-wide delegation); this may take some minutes to take effect",
			strings.Join(p.Scopes, " "), printable.Quote(s.Client))
	case e.code != "invalid_grant":
		return ""
	case strings.Contains(words, "email or user id"):
		return fmt.Sprintf("check whether %s is a mailbox of the domain, and not an alias or a group", mailbox)
	case strings.Contains(words, "signature"):
		return fmt.Sprintf("the key %s no longer belongs to %s: make a new one and name its file in service_account_file", printable.Quote(s.KeyID), printable.Quote(s.Email))
	case strings.Contains(words, "account not found") || strings.Contains(words, "issuer"):
		return fmt.Sprintf("check whether the service account %s still exists", printable.Quote(s.Email))
	}
	return ""
}
