package oauthserver

import (
	"slices"
	"strings"
	"sync"
	"time"

	"authferry/demo/random"
)

// gmailScope is the one scope that opens IMAP, POP3 and SMTP.
const gmailScope = "https://mail.google.com/"

// grants are the consents given and the tokens issued for them.
type grants struct {
	mu      sync.Mutex
	codes   map[string]*authCode
	access  map[string]*accessToken
	refresh map[string]*refreshToken
}

// authCode is an authorization code: a consent that the client has yet to redeem.
type authCode struct {
	grant       *grant
	redirectURI string
	challenge   string // PKCE S256; "": the program sent none
	expires     time.Time
}

// grant is one consent.
type grant struct {
	mailbox, scope string
	nobody         bool // no person gave it: a service account or the client itself acts
	app            bool // and for every mailbox
	revoked        bool
	ends           time.Time // zero: never
	chain          []*refreshToken
}

type refreshToken struct {
	grant *grant
	order int  // its place in the grant's chain
	spent bool // a later one has been used: using this one now is a reuse
}

type accessToken struct {
	grant   *grant
	came    *refreshToken // the refresh token issued with it, if one was
	expires time.Time
}

func newGrants() *grants {
	return &grants{
		codes:   make(map[string]*authCode),
		access:  make(map[string]*accessToken),
		refresh: make(map[string]*refreshToken),
	}
}

func (g *grants) newCode(c *authCode) string {
	code := "4/0A" + random.Token(70)
	g.mu.Lock()
	defer g.mu.Unlock()
	c.expires = time.Now().Add(10 * time.Minute)
	g.codes[code] = c
	return code
}

// takeCode redeems a code. A code is valid for one try, even a wrong one.
func (g *grants) takeCode(code string) *authCode {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.codes[code]
	delete(g.codes, code)
	if c == nil || time.Now().After(c.expires) {
		return nil
	}
	return c
}

// issued are the tokens of one answer.
type issued struct {
	access, refresh string
	grant           *grant
}

// begin issues the first tokens of a grant.
func (g *grants) begin(gr *grant, life time.Duration) issued {
	g.mu.Lock()
	defer g.mu.Unlock()
	refresh, token := g.newRefreshLocked(gr)
	return issued{g.newAccessLocked(gr, token, life), refresh, gr}
}

// serviceTokenLength is the length to which Google pads the tokens of service
// accounts with dots: too long for a line of SMTP (jstedfast/MailKit#1343).
const serviceTokenLength = 1024

// beginWithout issues the one token of a grant that no person gave: there is
// no refresh token, the holder of the key asks again.
func (g *grants) beginWithout(gr *grant, life time.Duration) string {
	s := "ya29.c." + random.Token(400)
	s += strings.Repeat(".", serviceTokenLength-len(s))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.access[s] = &accessToken{grant: gr, expires: time.Now().Add(life)}
	return s
}

// renew answers a refresh. ok is false if the refresh token is not valid;
// reuse reports that it was a spent one, which revoked its grant.
func (g *grants) renew(refresh string, rotate bool, life time.Duration) (out issued, reuse, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.refresh[refresh]
	if old == nil || !old.grant.goodAt(time.Now()) {
		return issued{}, false, false
	}
	if old.spent {
		old.grant.revoked = true
		return issued{grant: old.grant}, true, false
	}
	old.confirm()
	out.grant = old.grant
	if !rotate {
		out.access = g.newAccessLocked(old.grant, nil, life)
		return out, false, true
	}
	var token *refreshToken
	out.refresh, token = g.newRefreshLocked(old.grant)
	out.access = g.newAccessLocked(old.grant, token, life)
	return out, false, true
}

func (g *grants) newRefreshLocked(gr *grant) (string, *refreshToken) {
	token := &refreshToken{grant: gr, order: len(gr.chain)}
	gr.chain = append(gr.chain, token)
	s := "1//0" + random.Token(99)
	g.refresh[s] = token
	return s, token
}

func (g *grants) newAccessLocked(gr *grant, came *refreshToken, life time.Duration) string {
	s := "ya29." + random.Token(200)
	g.access[s] = &accessToken{grant: gr, came: came, expires: time.Now().Add(life)}
	return s
}

// confirm notes that the client has received t: an honest client no longer needs
// the refresh tokens issued before it.
func (t *refreshToken) confirm() {
	for _, older := range t.grant.chain[:t.order] {
		older.spent = true
	}
}

func (gr *grant) goodAt(now time.Time) bool {
	return !gr.revoked && (gr.ends.IsZero() || now.Before(gr.ends))
}

// identity is the content of a valid access token.
type identity struct {
	mailbox, scope string
	app            bool // the client itself, which may open every mailbox
	expires        time.Time
}

// String returns the token's owner, for the log.
func (id identity) String() string {
	if id.app {
		return "the client itself"
	}
	return id.mailbox
}

func (id identity) allows(scope string) bool {
	return slices.Contains(strings.Fields(id.scope), scope)
}

// use looks an access token up as a resource server does. It confirms the rotated
// refresh token that came with it.
func (g *grants) use(access string) (identity, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.access[access]
	if t == nil || !time.Now().Before(t.expires) || t.grant.revoked {
		return identity{}, false
	}
	if t.came != nil {
		t.came.confirm()
	}
	return identity{t.grant.mailbox, t.grant.scope, t.grant.app, t.expires}, true
}

func (g *grants) expireAccess() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, t := range g.access {
		t.expires = now
	}
}

// revoke revokes the grant of an access or refresh token and, as at Google, all
// other grants of its owner to the project.
func (g *grants) revoke(token string) (*grant, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var gr *grant
	if t := g.refresh[token]; t != nil {
		gr = t.grant
	} else if t := g.access[token]; t != nil {
		gr = t.grant
	}
	if gr == nil || gr.revoked {
		return nil, false
	}
	gr.revoked = true
	if !gr.nobody {
		g.revokeMailboxLocked(gr.mailbox)
	}
	return gr, true
}

func (g *grants) revokeMailbox(mailbox string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revokeMailboxLocked(mailbox)
}

func (g *grants) revokeMailboxLocked(mailbox string) {
	for _, t := range g.refresh {
		if t.grant.mailbox == mailbox {
			t.grant.revoked = true
		}
	}
}
