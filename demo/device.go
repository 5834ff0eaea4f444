package demo

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const grantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4

// devices are the programs that wait for a person to type a code elsewhere.
type devices struct {
	mu     sync.Mutex
	byCode map[string]*device // by device code
}

type device struct {
	client, scope string
	userCode      string
	expires       time.Time
	polled        time.Time
	interval      time.Duration
	denied        bool
	grant         *grant // nil: nobody has answered yet
}

// deviceAnswer is RFC 8628 §3.2.
type deviceAnswer struct {
	DeviceCode      string  `json:"device_code"`
	UserCode        string  `json:"user_code"`
	VerificationURI string  `json:"verification_uri"`
	Complete        string  `json:"verification_uri_complete"`
	ExpiresIn       int     `json:"expires_in"`
	Interval        float64 `json:"interval"`
}

// deviceEndpoint is the device authorization endpoint: RFC 8628 §3.1.
func (p *Provider) deviceEndpoint(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	client, scope := r.PostFormValue("client_id"), r.PostFormValue("scope")
	err := p.checkDeviceRequest(client, scope)
	if refused := (*oauthError)(nil); errors.As(err, &refused) {
		answerJSON(w, refused.status, refused)
		return
	}
	// No vowels: nobody's code is to spell a word (RFC 8628 §6.1).
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	d := &device{
		client: client, scope: scope, interval: p.options.DeviceInterval,
		userCode: randomFrom(letters, 4) + "-" + randomFrom(letters, 4),
		expires:  time.Now().Add(p.options.DeviceLife),
	}
	code := "AH-1Ng" + randomToken(90)
	p.devices.mu.Lock()
	p.devices.byCode[code] = d
	p.devices.mu.Unlock()
	p.logf("oauth: a device waits for its code to be typed")
	answerJSON(w, http.StatusOK, deviceAnswer{
		code, d.userCode, p.devicePage, p.devicePage + "?user_code=" + url.QueryEscape(d.userCode),
		int(p.options.DeviceLife / time.Second), d.interval.Seconds(),
	})
}

func (p *Provider) checkDeviceRequest(client, scope string) error {
	switch {
	case !p.isClient(client):
		return p.refuse(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	case strings.TrimSpace(scope) == "":
		return p.refuse(http.StatusBadRequest, "invalid_request", "Missing required parameter: scope")
	}
	for _, s := range strings.Fields(scope) {
		if !knownScope(s) || s == gmailScope && p.options.NoDeviceMail {
			return p.refuse(http.StatusBadRequest, "invalid_scope", "Invalid device flow scope: "+shown(s))
		}
	}
	return nil
}

// exchangeDevice answers a device that asks whether its code has been typed,
// with the statuses of Google:
// https://developers.google.com/identity/protocols/oauth2/limited-input-device
func (p *Provider) exchangeDevice(form url.Values) (*tokenAnswer, error) {
	p.devices.mu.Lock()
	defer p.devices.mu.Unlock()
	code := form.Get("device_code")
	d := p.devices.byCode[code]
	if d == nil {
		return nil, p.refuse(http.StatusBadRequest, "invalid_grant", "Malformed device code.")
	}
	now := time.Now()
	hasty := !d.polled.IsZero() && now.Sub(d.polled) < d.interval*3/4 // a network is never even
	d.polled = now
	switch {
	case !now.Before(d.expires):
		return nil, p.refuse(http.StatusBadRequest, "expired_token", "The device code has expired.")
	case hasty:
		d.interval += p.options.DeviceInterval // for good: RFC 8628 §3.5
		return nil, p.refuse(http.StatusForbidden, "slow_down", "Forbidden")
	case d.denied:
		return nil, p.refuse(http.StatusForbidden, "access_denied", "Forbidden")
	case d.grant == nil:
		return nil, &oauthError{Code: "authorization_pending", Description: "Precondition Required", status: http.StatusPreconditionRequired}
	}
	delete(p.devices.byCode, code)
	return p.begin(d.grant), nil
}

// showDevice is the page on which a person types the code.
func (p *Provider) showDevice(w http.ResponseWriter, r *http.Request) {
	view := consentView{Device: true, Code: r.URL.Query().Get("user_code"), Mailboxes: p.people()}
	if d := p.devices.find(view.Code); d != nil {
		view.Client, view.Scopes = d.client, strings.Fields(d.scope)
	}
	show(w, http.StatusOK, view)
}

// takeDevice takes the person's answer; the device learns of it when it asks.
func (p *Provider) takeDevice(w http.ResponseWriter, r *http.Request) {
	mailbox := canonical(r.PostFormValue("mailbox"))
	d := p.devices.find(r.PostFormValue("user_code"))
	deny := r.PostFormValue("answer") != "allow"
	switch {
	case d == nil:
		p.showRefusal(w, &refusal{http.StatusBadRequest, "invalid_request", "That code is not known, or has expired, or was used."})
		return
	case !deny && !p.isPerson(mailbox):
		p.showRefusal(w, &refusal{http.StatusBadRequest, "invalid_request", "There is no such account here."})
		return
	}
	p.devices.mu.Lock()
	if d.denied = deny; !deny {
		d.grant = &grant{mailbox: mailbox, scope: p.Faults.grantedScopes(d.scope)}
	}
	p.devices.mu.Unlock()
	done := "Your device may now use the mailbox. You can close this page."
	if deny {
		p.logf("oauth: a device was denied")
		done = "The device was turned away. You can close this page."
	} else {
		p.logf("oauth: %s allowed a device", mailbox)
	}
	show(w, http.StatusOK, consentView{Done: done})
}

// find looks for a device that still waits, by the code it shows. People type
// codes in lower case and leave the hyphen out.
func (ds *devices) find(userCode string) *device {
	plain := func(s string) string {
		return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(s))
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.byCode {
		if plain(d.userCode) == plain(userCode) && d.grant == nil && !d.denied && time.Now().Before(d.expires) {
			return d
		}
	}
	return nil
}

// people are the mailboxes whose owners can sign in, in order.
func (p *Provider) people() []string {
	var people []string
	for address := range p.accounts {
		if p.isPerson(address) {
			people = append(people, address)
		}
	}
	slices.Sort(people)
	return people
}

// isPerson tells whether a mailbox has an owner who signs in. Nobody signs in
// as a shared one.
func (p *Provider) isPerson(mailbox string) bool {
	a := p.accounts[mailbox]
	return a != nil && !a.nobodys
}

// ConfirmDevice does what a person does who is shown a device's code: it opens
// the device page, types the code, chooses the mailbox and allows.
func (p *Provider) ConfirmDevice(userCode, as string) error {
	return p.visitDevice(userCode, as, "allow")
}

// DenyDevice is [Provider.ConfirmDevice] of a person who does not.
func (p *Provider) DenyDevice(userCode string) error { return p.visitDevice(userCode, "", "deny") }
