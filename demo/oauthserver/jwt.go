package oauthserver

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"authferry/demo/random"
)

// The signatures of RFC 7518 §3.3 and §3.5, by the standard library alone: the
// check of authferry's assertions must not share a library with authferry.

// assertion is a signed statement: a JWT (RFC 7519) in compact form.
type assertion struct {
	header struct {
		Alg, Typ, Kid string
		X5T           string `json:"x5t"`
		X5TS256       string `json:"x5t#S256"`
	}
	claims struct {
		Iss, Sub, Aud, Scope, Jti string
		Iat, Nbf, Exp             float64
	}
	signed    string
	signature []byte
}

var errNotJWT = errors.New("not a JWT")

// readAssertion parses a JWT. It verifies nothing.
func readAssertion(compact string) (*assertion, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, errNotJWT
	}
	a := &assertion{signed: parts[0] + "." + parts[1]}
	for i, into := range []any{&a.header, &a.claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return nil, errNotJWT
		}
	}
	var err error
	if a.signature, err = base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return nil, errNotJWT
	}
	return a, nil
}

// signedBy checks the signature, made with one of the algorithms allowed.
func (a *assertion) signedBy(key *rsa.PublicKey, algorithms ...string) bool {
	sum := sha256.Sum256([]byte(a.signed))
	for _, algorithm := range algorithms {
		if a.header.Alg != algorithm {
			continue
		}
		switch algorithm {
		case "RS256":
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], a.signature) == nil
		case "PS256":
			// Salt as long as the hash: RFC 7518 §3.5.
			return rsa.VerifyPSS(key, crypto.SHA256, sum[:], a.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	}
	return false
}

const (
	// longestAssertion is the longest lifetime that Google accepts.
	longestAssertion = time.Hour
	// clockTolerance is how far ahead the signer's clock may be.
	clockTolerance = 5 * time.Minute
)

// timely reports whether an assertion is valid at a time, and for no longer than
// an hour in all. begins is its iat or its nbf.
func (a *assertion) timely(begins float64, now time.Time) bool {
	at := float64(now.Unix())
	return begins > 0 && begins <= at+clockTolerance.Seconds() &&
		a.claims.Exp > at && a.claims.Exp > begins && a.claims.Exp <= begins+longestAssertion.Seconds()
}

// signJWT makes a JWT signed with RS256.
func signJWT(key *rsa.PrivateKey, kid string, claims any) string {
	head, err := json.Marshal(map[string]string{"alg": "RS256", "kid": kid, "typ": "JWT"})
	if err != nil {
		panic(err) // a map of strings
	}
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err) // the types are ours and hold nothing that JSON cannot say
	}
	signed := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err) // the key is ours and long enough
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

var idTokenKey = sync.OnceValue(newRSAKey)

// idToken returns an ID token: OpenID Connect Core §2, with Google's claims for
// the scopes "openid email", requested or not. It is
// signed, but the key is not published: a token from the token endpoint over TLS
// need not be checked (§3.1.3.7, item 6).
func idToken(clientID string, gr *grant, now time.Time, life time.Duration) string {
	return signJWT(idTokenKey(), random.Hex(40), map[string]any{
		"iss": "https://accounts.google.com",
		"azp": clientID, "aud": clientID,
		"sub": subject(gr.mailbox), "email": gr.mailbox, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(life).Unix(),
	})
}

// subject returns a user's identifier: stable, and of Google's length.
func subject(mailbox string) string {
	h := fnv.New64a()
	h.Write([]byte(mailbox))
	return fmt.Sprintf("1%020d", h.Sum64())
}
