package demo

import (
	"fmt"
	"hash/fnv"
	"sync"
)

var idTokenKey = sync.OnceValue(newRSAKey)

// idToken says who signed in: OpenID Connect Core §2, with Google's claims for
// the scopes "openid email", whether or not the second was asked for. It is
// signed, but the key is published nowhere: what comes straight from the
// token endpoint over TLS need not be checked (§3.1.3.7, item 6).
func (p *Provider) idToken(gr *grant) string {
	now := p.now()
	return signJWT(idTokenKey(), randomHex(40), map[string]any{
		"iss": "https://accounts.google.com",
		"azp": p.ClientID, "aud": p.ClientID,
		"sub": subject(gr.mailbox), "email": gr.mailbox, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(p.options.TokenLife).Unix(),
	})
}

// subject is a person's number, the same each time and of Google's length.
func subject(mailbox string) string {
	h := fnv.New64a()
	h.Write([]byte(mailbox))
	return fmt.Sprintf("1%020d", h.Sum64())
}
