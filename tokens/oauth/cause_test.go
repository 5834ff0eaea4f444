package oauth

import (
	"strings"
	"testing"
)

// TestAdviceIsWhole: every cause of every kind of provider has words and a fix,
// fit for one line of a mail protocol, and contains no secret.
func TestAdviceIsWhole(t *testing.T) {
	builtin := Builtin()
	gmail, outlook := builtin["gmail"], builtin["microsoft"]
	workspace, app := *gmail, *outlook
	workspace.Name, workspace.Flow, workspace.ServiceAccount = "workspace", FlowServiceAccount, &ServiceAccount{Email: "a@b", Client: "42"}
	app.Name, app.Flow = "app", FlowClientCredentials
	own := &Provider{Name: "own", TokenURL: "https://id.example.org/token"}
	said := map[string]Cause{}
	for _, p := range []*Provider{gmail, outlook, &workspace, &app, own, nil} {
		if p != nil {
			p.ClientSecret, p.ClientID = "CANARY-secret", "client-1"
		}
		for _, c := range []Cause{
			CauseRevoked, CauseTesting, CauseSessionControl, CausePolicy, CauseClientDeleted, CauseClient, CauseDelegation,
			CauseUnknownUser, CauseInteraction, CauseClock, CauseNoGrant, CauseCommand, CauseThrottled, CauseOutage, CauseUnreachable,
		} {
			a := c.Advice(me, p)
			text := a.Words + a.Fix + a.Page
			if a.Words == "" || a.Fix == "" || len(a.Words) > 160 || strings.ContainsAny(text, "\r\n") || strings.Contains(text, "CANARY") {
				t.Errorf("%s at %v: %+v", c, p, a)
			}
			if a.Page != "" && !strings.HasPrefix(a.Page, "https://") {
				t.Errorf("%s at %v: the page %q", c, p, a.Page)
			}
			if p == gmail {
				if other, ok := said[a.Words]; ok {
					t.Errorf("%s says what %s says", c, other)
				}
				said[a.Words] = c
			}
		}
	}
	if a := CauseTesting.Advice(me, gmail); a.Page != googleAudience {
		t.Errorf("%+v", a)
	}
	if a := CauseDelegation.Advice(me, &workspace); a.Page != googleDelegation || !strings.Contains(a.Fix, "42") {
		t.Errorf("%+v", a)
	}
	if pageOf(own, "g", "m") != "" || pageOf(outlook, "g", "m") != "m" {
		t.Error("a page of another provider")
	}
}
