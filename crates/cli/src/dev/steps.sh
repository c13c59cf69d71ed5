# The main job in ten steps: paste them into a shell that has grpcurl and curl.
GATEWAY={{gateway}}
ADMIN={{gateway_admin}}
CLIENT_ID={{client_id}}
CLIENT_SECRET={{client_secret}}
call() { grpcurl -plaintext -H "authorization: Bearer $1" -d "$3" "$GATEWAY" "guildhall.$2"; }
anyone() { grpcurl -plaintext -d "$2" "$GATEWAY" "guildhall.$1"; }
pick() { grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }
show() { tee -a /dev/stderr; }

# Step 1: a token for the project's service account.
TOKEN=$(curl -sS -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials "http://$GATEWAY/oauth2/token" | show | pick access_token)

# Step 2: an organization.
ORG=$(call "$TOKEN" org.v1.OrganizationService/CreateOrganization '{"organization":{"display_name":"Acme","slug":"acme"}}' | show | pick organizationId)

# Step 3: its first member, the owner, and her password.
ADA=$(call "$TOKEN" member.v1.MemberService/CreateMember '{"organization_id":"'$ORG'","member":{"email_address":"ada@acme.test","display_name":"Ada"},"roles":["owner"]}' | show | pick memberId)
call "$TOKEN" member.v1.CredentialService/SetPassword '{"organization_id":"'$ORG'","member_id":"'$ADA'","password":"correct horse battery staple"}'

# Step 4: Ada signs in.
ADA_TOKEN=$(anyone gateway.v1.AuthenticationService/SignInWithPassword '{"email_address":"ada@acme.test","password":"correct horse battery staple","organization_slug":"acme"}' | show | pick accessToken)

# Step 5: Ada invites Grace; the mail lands in the dev mailbox.
call "$ADA_TOKEN" member.v1.InvitationService/CreateInvitation '{"organization_id":"'$ORG'","invitation":{"email_address":"grace@acme.test"},"roles":["member"]}'
INVITATION=$(sleep 1; curl -sS "http://$ADMIN/dev/mailbox" | show | grep -o 'invitation?token=[A-Za-z0-9._~-]*' | tail -n 1 | cut -d = -f 2)

# Step 6: Grace accepts, and signs in by the code that is mailed to her.
GRACE=$(anyone member.v1.InvitationService/AcceptInvitation '{"token":"'$INVITATION'","display_name":"Grace"}' | show | pick memberId)
CHALLENGE=$(anyone gateway.v1.AuthenticationService/StartEmailSignIn '{"email_address":"grace@acme.test","organization_slug":"acme"}' | show | pick challengeId)
CODE=$(sleep 1; curl -sS "http://$ADMIN/dev/mailbox" | grep -o '"text": *"[^"]*' | tail -n 1 | grep -oE '(^|[^0-9A-Za-z_-])[0-9]{3} ?[0-9]{3}($|[^0-9A-Za-z_-])' | tr -dc '0-9\n' | head -n 1)
GRACE_SIGNED_IN=$(anyone gateway.v1.AuthenticationService/CompleteEmailSignIn '{"challenge_id":"'$CHALLENGE'","code":"'$CODE'"}' | show)
GRACE_TOKEN=$(echo "$GRACE_SIGNED_IN" | pick accessToken)
GRACE_REFRESH=$(echo "$GRACE_SIGNED_IN" | pick refreshToken)

# Step 7: the product's own permissions, a role of them, and Grace may edit document 42.
call "$TOKEN" authz.v1.CatalogService/UpdateCatalog '{"catalog":{"resource_types":[{"name":"document","verbs":["read","write"]}]}}'
ROLE=$(call "$ADA_TOKEN" authz.v1.RoleService/CreateRole '{"organization_id":"'$ORG'","role":{"key":"editor","display_name":"Editor","permissions":["document:*"]}}' | show | pick roleId)
ask() { call "$TOKEN" "authz.v1.AuthorizationService/$1" '{"organization_id":"'$ORG'","subject":{"member_id":"'$GRACE'"},"permission":"document:write","resource":{"type":"document","id":"'$2'"},"consistency":'"$3"'}'; }
ask Check 42 '{"fully_consistent":true}' # DENIED: nobody has said so yet
REVISION=$(call "$ADA_TOKEN" authz.v1.BindingService/CreateBinding '{"organization_id":"'$ORG'","binding":{"subject":{"member_id":"'$GRACE'"},"role_id":"'$ROLE'","resource":{"type":"document","id":"42"}}}' | show | pick revision)

# Step 8: may she? On 42, since that binding; on 43, not; and why.
ask Check 42 '{"at_least_as_fresh":"'$REVISION'"}'
ask Check 43 '{"fully_consistent":true}'
ask Explain 42 '{"fully_consistent":true}'

# Step 9: Ada removes Grace: no refresh, no token, no permission.
call "$ADA_TOKEN" member.v1.MemberService/RemoveMember '{"organization_id":"'$ORG'","member_id":"'$GRACE'"}'
anyone gateway.v1.AuthenticationService/RefreshSession '{"refresh_token":"'$GRACE_REFRESH'"}'
sleep 1; call "$GRACE_TOKEN" gateway.v1.AuthenticationService/WhoAmI '{}'
ask Check 42 '{"fully_consistent":true}'

# Step 10: who did all this, and that nobody has changed the record since.
call "$ADA_TOKEN" event.v1.EventService/ListEvents '{"organization_id":"'$ORG'"}'
call "$ADA_TOKEN" event.v1.EventService/VerifyChain '{"organization_id":"'$ORG'"}'
