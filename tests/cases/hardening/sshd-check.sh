sshd -t
for user in root me; do
    effective=$(sshd -T -C "user=$user,host=client,addr=192.0.2.1,laddr=192.0.2.2,lport=22")
    while read -r name value; do
        if ! printf '%s\n' "$effective" | grep -qix "$name $value"; then
            echo "sshd does not take $name $value for $user: another file sets it before /etc/ssh/sshd_config.d/00-reconciler.conf," >&2
            echo "or in a Match block; \`grep -rni $name /etc/ssh/sshd_config*\` shows where" >&2
            exit 1
        fi
    done <<'END'
passwordauthentication no
kbdinteractiveauthentication no
permitemptypasswords no
pubkeyauthentication yes
authenticationmethods publickey
permitrootlogin no
x11forwarding no
allowagentforwarding no
allowtcpforwarding local
logingracetime 30
clientaliveinterval 30
clientalivecountmax 4
loglevel verbose
END
done
