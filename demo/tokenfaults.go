package demo

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// refusalFaults are the faults that are OAuth errors.
var refusalFaults = map[TokenAnswer]oauthError{
	TokenInvalidGrant: {status: http.StatusBadRequest, Code: "invalid_grant", Description: "Token has been expired or revoked."},
	TokenInvalidCli:   {status: http.StatusUnauthorized, Code: "invalid_client", Description: "The OAuth client was not found."},
	TokenInvalidRAPT: {status: http.StatusBadRequest, Code: "invalid_grant", Description: "reauth related error (invalid_rapt)",
		Subtype: "invalid_rapt", URI: "https://support.google.com/a/answer/9368756"},
	TokenAdminPolicy: {status: http.StatusBadRequest, Code: "admin_policy_enforced",
		Description: "Access to your account data is restricted by policies within your organization. Please contact the administrator of your organization for more information."},
	TokenDeletedClient:   {status: http.StatusUnauthorized, Code: "deleted_client", Description: "The OAuth client was deleted."},
	TokenUnauthorizedCli: {status: http.StatusUnauthorized, Code: "unauthorized_client", Description: "Unauthorized"},
	Token500:             {status: http.StatusInternalServerError, Code: "internal_failure", Description: "Backend Error"},
	Token429:             {status: http.StatusTooManyRequests, Code: "rate_limit_exceeded", Description: "Rate Limit Exceeded"},
}

// answersFault answers in place of the work where a fault says so.
func (p *Provider) answersFault(w http.ResponseWriter, fault TokenAnswer) bool {
	if e, ok := refusalFaults[fault]; ok {
		if fault == Token429 {
			w.Header().Set("Retry-After", "1")
		}
		answerJSON(w, e.status, e)
		p.logf("oauth: fault %q answered a token request", string(fault))
		return true
	}
	page := func(status int, html string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		w.Write([]byte(html))
	}
	switch fault {
	case TokenHTML:
		page(http.StatusOK, "<!DOCTYPE html><title>Welcome to the hotel network</title><p>Please accept the terms of use.\n")
	case Token503HTML:
		page(http.StatusServiceUnavailable, "<!DOCTYPE html><title>Error 503 (Service Unavailable)!!1</title><p>The service is temporarily unavailable. That's all we know.\n")
	case TokenEmpty:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusOK)
	default:
		return false
	}
	p.logf("oauth: fault %q answered a token request", string(fault))
	return true
}

// disfigure makes an answer differ from Google's where a fault says so. There
// is none where the request was refused.
func (a *tokenAnswer) disfigure(fault TokenAnswer) {
	if a == nil {
		return
	}
	seconds, _ := a.ExpiresIn.(int)
	switch fault {
	case TokenLifeString:
		a.ExpiresIn = strconv.Itoa(seconds)
	case TokenLifeFloat:
		a.ExpiresIn = float64(seconds) + 0.5
	case TokenLifeMissing:
		a.ExpiresIn = nil
	case TokenGrantExpires:
		a.RefreshTokenExpiresIn = 604799
	}
}

// cutAnswer sends half of an answer and closes.
func (p *Provider) cutAnswer(w http.ResponseWriter, answer *tokenAnswer) {
	body := p.answerBody(answer)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body[:len(body)/2])
	http.NewResponseController(w).Flush()
	p.logf("oauth: cut the answer to a token request")
	panic(http.ErrAbortHandler) // net/http's way of closing without a word
}

// truncateAnswer sends half of an answer as if it were the whole.
func (p *Provider) truncateAnswer(w http.ResponseWriter, answer *tokenAnswer) {
	body := p.answerBody(answer)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Write(body[:len(body)/2])
	p.logf("oauth: truncated the answer to a token request")
}

// mislabelAnswer sends an answer as if it were a page.
func (p *Provider) mislabelAnswer(w http.ResponseWriter, answer *tokenAnswer) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(p.answerBody(answer))
	p.logf("oauth: gave the answer to a token request another content type")
}

func (p *Provider) answerBody(answer *tokenAnswer) []byte {
	body, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		panic(err) // the type is ours and holds nothing that JSON cannot say
	}
	return body
}

// pause waits, for good if d is negative. It does not return if the client or
// the provider has gone meanwhile: to return would be to answer.
func (p *Provider) pause(r *http.Request, d time.Duration) {
	if d == 0 {
		return
	}
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-p.closing:
		panic(http.ErrAbortHandler)
	}
}
